"""Work queue: each task goes to one of several workers, to one that has nothing to do.

    python examples/work_queue.py worker      (in two terminals)
    python examples/work_queue.py task "A long one....."
    python examples/work_queue.py task "A short one."

A task takes a second for each dot. The worker with the long one gets no other until it is done.
Kill it meanwhile: the other gets its task. End it with Ctrl-C: it has 10 s to finish first.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from netdemo.amqp import AMQPClient, Delivery, Message, Queue, Topology, run

TOPOLOGY = Topology(queues=(Queue("task_queue", durable=True),))


async def task(client: AMQPClient, text: str) -> None:
    """Put one task into the queue."""
    await client.declare(TOPOLOGY)
    await client.publish(Message(text.encode()), exchange="", routing_key="task_queue")
    print(f"sent {text}")


async def worker(client: AMQPClient) -> None:
    """Do one task after another; each is acknowledged when `work` has returned."""

    async def work(delivery: Delivery) -> None:
        text = delivery.message.body.decode(errors="replace")
        print(f"working on {text}")
        await deferLater(client.clock, text.count("."))
        print(f"done with {text}")

    await client.declare(TOPOLOGY)
    # Fair dispatch: no other task before this one is acknowledged.
    await client.consume("task_queue", work, prefetch=1)
    print("waiting for tasks; Ctrl-C ends it")
    client.add_status_listener(print)
    await Deferred[None]()  # which never fires


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["task", text]:
            run(task, text)
        case ["worker"]:
            run(worker)
        case _:
            raise SystemExit("usage: work_queue.py task TEXT | worker")
