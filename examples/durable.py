"""Durable queue, persistent messages: what survives a restart of the broker.

    python examples/durable.py send "This one stays."
    python examples/durable.py send-transient "This one goes."
    sudo service rabbitmq-server restart
    python examples/durable.py receive

It prints the first alone. A message survives if both its queue is durable and it is persistent;
`send` returns when RabbitMQ has written it to its disk. Restart the broker once more while
`receive` runs: it comes back by itself.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIG_DFL, SIGINT, signal
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from netdemo.amqp import AMQPClient, Delivery, Message, Queue, Topology
from netdemo.errors import NetdemoError

BROKER = os.environ.get("NETDEMO_BROKER") or "amqp://guest:guest@127.0.0.1:5672/"
TOPOLOGY = Topology(queues=(Queue("durable", durable=True),))

TRANSIENT: Final = 1
PERSISTENT: Final = 2
"""The delivery modes; that of a `Message` is 2 unless said otherwise, and a `Queue` is durable."""


async def send(reactor: Any, text: str, delivery_mode: int) -> None:
    """Send one message; RabbitMQ has it, a persistent one on its disk, when `publish` returns."""
    async with connected(reactor) as client:
        await client.declare(TOPOLOGY)
        message = Message(text.encode(), delivery_mode=delivery_mode)
        await client.publish(message, exchange="", routing_key="durable")
        print(f"sent {text}")


async def receive(reactor: Any) -> None:
    """Print each message that comes, also after the connection was lost."""
    async with connected(reactor) as client:
        await client.declare(TOPOLOGY)
        await client.consume("durable", show)
        tell("waiting for messages; Ctrl-C ends it")
        client.add_status_listener(tell)
        await Deferred[None]()


def show(delivery: Delivery) -> None:
    """Print a message."""
    tell(f"received {delivery.message.body.decode(errors='replace')}")


def tell(text: object) -> None:
    """Print a line; when nobody reads any more (``| head``), end: what is in hand goes back."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os._exit(1)


@asynccontextmanager
async def connected(reactor: Any) -> AsyncIterator[AMQPClient]:
    """Lend a client that is ready; what goes wrong ends the program with one line and status 1."""
    try:
        client = AMQPClient([BROKER], reactor)
        # At the end, also by Ctrl-C and SIGTERM: finish what is in hand, then close. Ctrl-C again
        # does not wait for that.
        reactor.addSystemEventTrigger("before", "shutdown", signal, SIGINT, SIG_DFL)
        reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
        client.startService()
        await client.when_ready(fail_after_failures=1)
        yield client
    except (NetdemoError, UnicodeError) as error:
        raise SystemExit(f"{sys.argv[0]}: {error}") from None


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", text]:
            react(send, (text, PERSISTENT))
        case ["send-transient", text]:
            react(send, (text, TRANSIENT))
        case ["receive"]:
            react(receive)
        case _:
            raise SystemExit("usage: durable.py send TEXT | send-transient TEXT | receive")
