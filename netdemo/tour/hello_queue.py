"""Simple queue: a message waits in a queue until somebody receives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import DeferredQueue

from netdemo.amqp import Message, Queue, Topology
from netdemo.tour.checking import expect
from netdemo.tour.site import unique

if TYPE_CHECKING:
    from netdemo.amqp import Delivery
    from netdemo.tour.site import Site


async def show(site: Site) -> str:
    """Send a message before anybody is there to receive it."""
    queue = Queue(unique("hello"), durable=False, exclusive=True)
    async with site.client() as client:
        await client.declare(Topology(queues=(queue,)))
        await client.publish(Message(b"Hello, world!"), routing_key=queue.name)
        site.tell("sent: the broker has confirmed that the queue has it")
        inbox: DeferredQueue[Delivery] = DeferredQueue()
        await client.consume(queue.name, inbox.put)
        delivery = await inbox.get()
    expect("the message", delivery.message.body, b"Hello, world!")
    return "sent, confirmed and received: Hello, world!"
