"""Simple queue: a message waits in a queue until somebody receives it.

python examples/hello_queue.py receive
python examples/hello_queue.py send "Hello, world!"
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIG_DFL, SIGINT, signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from netdemo.amqp import AMQPClient, Delivery, Message, Queue, Topology
from netdemo.errors import NetdemoError

BROKER = os.environ.get("NETDEMO_BROKER") or "amqp://guest:guest@127.0.0.1:5672/"
TOPOLOGY = Topology(queues=(Queue("hello"),))
"""Both sides declare it, since either may come first; it is there again on a new connection."""


async def send(reactor: Any, text: str) -> None:
    """Send one message; RabbitMQ has it when `publish` has returned."""
    async with connected(reactor) as client:
        await client.declare(TOPOLOGY)
        await client.publish(Message(text.encode()), exchange="", routing_key="hello")
        print(f"sent {text}")


async def receive(reactor: Any) -> None:
    """Print each message that comes; it is acknowledged when `show` has returned."""
    async with connected(reactor) as client:
        await client.declare(TOPOLOGY)
        await client.consume("hello", show)
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
            raise SystemExit("usage: hello_queue.py send TEXT | receive")
