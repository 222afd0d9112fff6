"""Work queue: each task goes to one of several workers, to one that has nothing to do.

    python examples/work_queue.py worker      (in two terminals)
    python examples/work_queue.py task "A long one....."
    python examples/work_queue.py task "A short one."

A task takes a second for each dot. The worker with the long one gets no other until it is done.
Kill it meanwhile: the other gets its task. End it with Ctrl-C: it has 10 s to finish first.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIG_DFL, SIGINT, signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from netdemo.amqp import AMQPClient, Delivery, Message, Queue, Topology
from netdemo.errors import NetdemoError

BROKER = os.environ.get("NETDEMO_BROKER") or "amqp://guest:guest@127.0.0.1:5672/"
TOPOLOGY = Topology(queues=(Queue("task_queue", durable=True),))


async def task(reactor: Any, text: str) -> None:
    """Put one task into the queue."""
    async with connected(reactor) as client:
        await client.declare(TOPOLOGY)
        await client.publish(Message(text.encode()), exchange="", routing_key="task_queue")
        print(f"sent {text}")


async def worker(reactor: Any) -> None:
    """Do one task after another; each is acknowledged when `work` has returned."""

    async def work(delivery: Delivery) -> None:
        text = delivery.message.body.decode(errors="replace")
        tell(f"working on {text}")
        await deferLater(reactor, text.count("."))
        tell(f"done with {text}")

    async with connected(reactor) as client:
        await client.declare(TOPOLOGY)
        # Fair dispatch: no other task before this one is acknowledged.
        await client.consume("task_queue", work, prefetch=1)
        tell("waiting for tasks; Ctrl-C ends it")
        client.add_status_listener(tell)
        await Deferred[None]()


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
        case ["task", text]:
            react(task, (text,))
        case ["worker"]:
            react(worker)
        case _:
            raise SystemExit("usage: work_queue.py task TEXT | worker")
