"""Headers: who listens gets the messages that have all, or any, of the headers that it chose.

python examples/headers.py receive all format=pdf type=report
python examples/headers.py receive any format=pdf type=report      (in another terminal)
python examples/headers.py send "The year in figures" format=pdf type=report
python examples/headers.py send "A letter" format=pdf
"""

import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from signal import SIG_DFL, SIGINT, signal
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from netdemo.amqp import AMQPClient, Binding, Delivery, Exchange, Message, Queue, Topology
from netdemo.errors import NetdemoError

BROKER = os.environ.get("NETDEMO_BROKER") or "amqp://guest:guest@127.0.0.1:5672/"
EXCHANGE = Exchange("logs.headers", "headers")


async def send(reactor: Any, text: str, headers: dict[str, str]) -> None:
    """Send one message to those whose headers match its own."""
    async with connected(reactor) as client:
        await client.declare(Topology(exchanges=(EXCHANGE,)))
        message = Message(text.encode(), headers=headers)
        # Not mandatory: that nobody listens is no mistake.
        await client.publish(message, exchange=EXCHANGE.name, mandatory=False)
        print(f"sent {text}")


async def receive(reactor: Any, match: str, headers: dict[str, str]) -> None:
    """Print each message that has ``all`` or ``any`` of `headers` and is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"headers.{uuid4()}", durable=False, exclusive=True)
    binding = Binding(EXCHANGE.name, queue.name, arguments={"x-match": match, **headers})
    async with connected(reactor) as client:
        await client.declare(Topology((EXCHANGE,), (queue,), (binding,)))
        await client.consume(queue.name, show)
        tell("waiting for messages; Ctrl-C ends it")
        client.add_status_listener(tell)
        await Deferred[None]()


def show(delivery: Delivery) -> None:
    """Print a message and its headers."""
    message = delivery.message
    tell(f"received {message.body.decode(errors='replace')} {message.headers or {}}")


def pairs(arguments: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` each."""
    parts = (argument.partition("=") for argument in arguments)
    return {name: value for name, _, value in parts}


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
        case ["send", text, *headers] if all("=" in each for each in headers):
            react(send, (text, pairs(headers)))
        case ["receive", "all" | "any" as match, *headers] if all("=" in each for each in headers):
            react(receive, (match, pairs(headers)))
        case _:
            raise SystemExit(
                "usage: headers.py send TEXT [NAME=VALUE]... | receive all|any [NAME=VALUE]..."
            )
