"""Work queue: each task goes to one of several workers."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import DeferredQueue

from netdemo.amqp import Message, Queue, Topology
from netdemo.tour.checking import expect
from netdemo.tour.messages import publish_all
from netdemo.tour.site import unique

if TYPE_CHECKING:
    from netdemo.amqp import Delivery
    from netdemo.tour.site import Site

TASKS: Final = [f"task {number}" for number in range(1, 7)]
WORKERS: Final = ("Ann", "Bob")


async def show(site: Site) -> str:
    """Share tasks out between two workers, each task to one of them."""
    queue = Queue(unique("work"), durable=False, exclusive=True)
    done: DeferredQueue[tuple[str, str]] = DeferredQueue()

    def work(name: str, delivery: Delivery) -> None:
        done.put((name, delivery.message.body.decode()))

    async with site.client() as client:
        await client.declare(Topology(queues=(queue,)))
        for name in WORKERS:
            await client.consume(queue.name, partial(work, name))
        messages = [Message(task.encode()) for task in TASKS]
        await publish_all(messages, queue, client)
        results = [await done.get() for _ in TASKS]
    for name in WORKERS:
        site.tell(f"{name}: {', '.join(task for who, task in results if who == name)}")
    expect("the tasks that were done", sorted(task for _, task in results), TASKS)
    shares = Counter(name for name, _ in results)
    expect("the workers who did them", sorted(shares), sorted(WORKERS))
    return f"{len(TASKS)} tasks, each done once: " + ", ".join(
        f"{shares[name]} by {name}" for name in WORKERS
    )
