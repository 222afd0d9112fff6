"""Durable queue, persistent messages: what survives a restart of the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netdemo.amqp import Message, Queue, Topology
from netdemo.errors import NotShown
from netdemo.tour.checking import expect
from netdemo.tour.messages import all_in
from netdemo.tour.site import LEFTOVER, unique

if TYPE_CHECKING:
    from netdemo.tour.site import Site

STAYS: Final = "This one stays."
GOES: Final = "This one goes."
TRANSIENT: Final = 1
"""The delivery mode of a message that is not persistent, as it is unless said otherwise."""


async def show(site: Site) -> str:
    """Send a persistent and a transient message, restart the broker, and receive what is left.

    :raises NotShown: when the broker can't be restarted, and all is there on another connection.
    """
    queue = Queue(unique("durable"), durable=True, auto_delete=True, arguments=LEFTOVER)
    async with site.client() as sender:
        await sender.declare(Topology(queues=(queue,)))
        await sender.publish(Message(STAYS.encode()), routing_key=queue.name)
        transient = Message(GOES.encode(), delivery_mode=TRANSIENT)
        await sender.publish(transient, routing_key=queue.name)
    site.tell("sent one persistent and one transient message; the connection is closed")
    if site.restart is not None:
        await site.restart()
        site.tell("the broker was stopped, and started again")
    async with site.client() as receiver:
        texts = await all_in(queue, receiver)
    if site.restart is None:
        expect("messages on another connection", texts, [STAYS, GOES])
        raise NotShown(
            "the broker is not ours to restart; queue and messages outlive their connection"
        )
    expect("messages after the restart", texts, [STAYS])
    return "after a restart the persistent message is there, the transient one is gone"
