"""Topic: who listens gets the messages whose routing key matches a pattern.

    python examples/topic.py receive "kern.*" "*.critical"
    python examples/topic.py receive "#"      (in another terminal)
    python examples/topic.py send kern.critical "A kernel error"

A key is words with dots between them. In a pattern * is one word, # is any number of them, also
none. A message that matches two patterns comes once.
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
EXCHANGE = Exchange("logs.topic", "topic")


async def send(reactor: Any, key: str, text: str) -> None:
    """Send one message to those with a pattern that matches `key`."""
    async with connected(reactor) as client:
        await client.declare(Topology(exchanges=(EXCHANGE,)))
        message = Message(text.encode())
        # Not mandatory: that nobody listens is no mistake.
        await client.publish(message, exchange=EXCHANGE.name, routing_key=key, mandatory=False)
        print(f"sent {key}: {text}")


async def receive(reactor: Any, *patterns: str) -> None:
    """Print each message that matches one of `patterns` and is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"topic.{uuid4()}", durable=False, exclusive=True)
    bindings = tuple(Binding(EXCHANGE.name, queue.name, pattern) for pattern in patterns)
    async with connected(reactor) as client:
        await client.declare(Topology((EXCHANGE,), (queue,), bindings))
        await client.consume(queue.name, show)
        tell("waiting for messages; Ctrl-C ends it")
        client.add_status_listener(tell)
        await Deferred[None]()


def show(delivery: Delivery) -> None:
    """Print a message and its routing key."""
    body = delivery.message.body.decode(errors="replace")
    tell(f"received {delivery.routing_key}: {body}")


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
        case ["send", key, text]:
            react(send, (key, text))
        case ["receive", *patterns] if patterns:
            react(receive, patterns)
        case _:
            raise SystemExit("usage: topic.py send KEY TEXT | receive PATTERN...")
