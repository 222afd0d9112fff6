"""Fair dispatch: with a prefetch of 1 nobody gets a message while still busy with another."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import DeferredLock, DeferredQueue
from twisted.internet.task import deferLater

from netdemo.amqp import Message, Queue, Topology
from netdemo.errors import NotHeld
from netdemo.tour.checking import expect
from netdemo.tour.messages import publish_all
from netdemo.tour.site import unique

if TYPE_CHECKING:
    from netdemo.amqp import Delivery
    from netdemo.amqp.consumer import Handler
    from netdemo.tour.site import Site

TASKS: Final = 10
SECONDS: Final = {"slow": 0.15, "quick": 0.0}
"""What each worker takes for a task."""


async def show(site: Site) -> str:
    """Give the same tasks to a slow and a quick worker, with prefetch 1 and with a large one."""
    fair = await shares(site, prefetch=1)
    unfair = await shares(site, prefetch=TASKS)
    expect("tasks of the slow worker with a large prefetch", unfair["slow"], TASKS // 2)
    if fair["slow"] > unfair["slow"] // 2:
        raise NotHeld(
            f"the slow worker did {fair['slow']} of {TASKS} tasks with prefetch 1: "
            f"expected no more than half of the {unfair['slow']} that are a round robin's share"
        )
    return (
        f"the slow worker did {fair['slow']} of {TASKS} tasks with prefetch 1, "
        f"{unfair['slow']} with prefetch {TASKS}"
    )


async def shares(site: Site, prefetch: int) -> Counter[str]:
    """Have all tasks done; return how many of them each worker did."""
    queue = Queue(unique("fair"), durable=False, exclusive=True)
    done: DeferredQueue[str] = DeferredQueue()
    began = site.reactor.seconds()
    async with site.client() as client:
        await client.declare(Topology(queues=(queue,)))
        for name, seconds in SECONDS.items():
            await client.consume(queue.name, worker(name, seconds, done, site), prefetch)
        messages = [Message(b"a task") for _ in range(TASKS)]
        await publish_all(messages, queue, client)
        counted = Counter([await done.get() for _ in messages])
    took = site.reactor.seconds() - began
    parts = ", ".join(f"{name} {counted[name]}" for name in SECONDS)
    site.tell(f"prefetch {prefetch}: {parts}, in {took:.2f} s")
    return counted


def worker(name: str, seconds: float, done: DeferredQueue[str], site: Site) -> Handler:
    """Return a handler that does one task after another, however many are prefetched."""
    in_turn = DeferredLock()

    async def work(_: Delivery) -> None:
        await in_turn.run(deferLater, site.reactor, seconds)
        done.put(name)

    return work
