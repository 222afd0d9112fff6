"""Fanout: everyone who listens gets each message.

python examples/fanout.py receive      (in two terminals)
python examples/fanout.py send "Hello, all!"
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIG_DFL, SIGINT, signal
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from netdemo.amqp import AMQPClient, Binding, Delivery, Exchange, Message, Queue, Topology
from netdemo.errors import NetdemoError

BROKER = os.environ.get("NETDEMO_BROKER") or "amqp://guest:guest@127.0.0.1:5672/"
EXCHANGE = Exchange("logs.fanout", "fanout")


async def send(reactor: Any, text: str) -> None:
    """Send one message to all who listen."""
    async with connected(reactor) as client:
        await client.declare(Topology(exchanges=(EXCHANGE,)))
        # Not mandatory: that nobody listens is no mistake.
        await client.publish(Message(text.encode()), exchange=EXCHANGE.name, mandatory=False)
        print(f"sent {text}")


async def receive(reactor: Any) -> None:
    """Print each message that is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"fanout.{uuid4()}", durable=False, exclusive=True)
    binding = Binding(EXCHANGE.name, queue.name)
    async with connected(reactor) as client:
        await client.declare(Topology((EXCHANGE,), (queue,), (binding,)))
        await client.consume(queue.name, show)
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
            react(send, (text,))
        case ["receive"]:
            react(receive)
        case _:
            raise SystemExit("usage: fanout.py send TEXT | receive")
