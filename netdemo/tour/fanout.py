"""Fanout: everyone who listens gets each message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdemo.amqp import Binding, Exchange, Message, Queue, Topology
from netdemo.tour.checking import expect
from netdemo.tour.messages import all_in
from netdemo.tour.site import unique

if TYPE_CHECKING:
    from netdemo.tour.site import Site


async def show(site: Site) -> str:
    """Send one message to two queues."""
    exchange = Exchange(unique("fanout"), "fanout", durable=False, auto_delete=True)
    queues = [Queue(unique("fanout"), durable=False, exclusive=True) for _ in range(2)]
    bindings = [Binding(exchange.name, queue.name) for queue in queues]
    async with site.client() as client:
        await client.declare(Topology((exchange,), tuple(queues), tuple(bindings)))
        await client.publish(Message(b"Hello, all!"), exchange.name)
        for number, queue in enumerate(queues, 1):
            texts = await all_in(queue, client)
            site.tell(f"listener {number}: {', '.join(texts)}")
            expect(f"listener {number}", texts, ["Hello, all!"])
    return "both listeners have a copy"
