"""Topic: who listens gets the messages whose routing key matches a pattern.

A key is words with dots between them. In a pattern * is one word, # is any number of them, also
none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netdemo.amqp import Binding, Exchange, Message, Queue, Topology
from netdemo.tour.checking import expect
from netdemo.tour.messages import all_in
from netdemo.tour.site import unique

if TYPE_CHECKING:
    from netdemo.tour.site import Site

SENT: Final = ("kern", "kern.critical", "kern.disk.full", "cron.critical")
EXPECTED: Final = {
    "kern.*": ["kern.critical"],
    "*.critical": ["kern.critical", "cron.critical"],
    "kern.#": ["kern", "kern.critical", "kern.disk.full"],
    "#": list(SENT),
}
"""By the pattern of each listener."""


async def show(site: Site) -> str:
    """Let each listener choose a pattern."""
    exchange = Exchange(unique("topic"), "topic", durable=False, auto_delete=True)
    queues = {each: Queue(unique("topic"), durable=False, exclusive=True) for each in EXPECTED}
    bindings = [Binding(exchange.name, queue.name, pattern) for pattern, queue in queues.items()]
    async with site.client() as client:
        await client.declare(Topology((exchange,), tuple(queues.values()), tuple(bindings)))
        for key in SENT:
            await client.publish(Message(key.encode()), exchange.name, key)
        for pattern, queue in queues.items():
            texts = await all_in(queue, client)
            site.tell(f"{pattern}: {', '.join(texts)}")
            expect(f"who chose {pattern}", texts, EXPECTED[pattern])
    return f"{len(EXPECTED)} patterns, each with the keys that it matches"
