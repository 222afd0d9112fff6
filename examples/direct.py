"""Direct: who listens gets the messages of the routing keys that it chose, here severities.

python examples/direct.py receive warning error
python examples/direct.py receive info      (in another terminal)
python examples/direct.py send error "The disk is full."
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
EXCHANGE = Exchange("logs.direct", "direct")


async def send(reactor: Any, severity: str, text: str) -> None:
    """Send one message to those who listen to its severity."""
    async with connected(reactor) as client:
        await client.declare(Topology(exchanges=(EXCHANGE,)))
        message = Message(text.encode())
        # Not mandatory: that nobody listens is no mistake.
        await client.publish(message, exchange=EXCHANGE.name, routing_key=severity, mandatory=False)
        print(f"sent {severity}: {text}")


async def receive(reactor: Any, *severities: str) -> None:
    """Print each message with one of `severities` that is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"direct.{uuid4()}", durable=False, exclusive=True)
    bindings = tuple(Binding(EXCHANGE.name, queue.name, severity) for severity in severities)
    async with connected(reactor) as client:
        await client.declare(Topology((EXCHANGE,), (queue,), bindings))
        await client.consume(queue.name, show)
        tell("waiting for messages; Ctrl-C ends it")
        client.add_status_listener(tell)
        await Deferred[None]()


def show(delivery: Delivery) -> None:
    """Print a message and its severity."""
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
        case ["send", severity, text]:
            react(send, (severity, text))
        case ["receive", *severities] if severities:
            react(receive, severities)
        case _:
            raise SystemExit("usage: direct.py send SEVERITY TEXT | receive SEVERITY...")
