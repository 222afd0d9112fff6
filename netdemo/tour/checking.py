"""What the stops of the tour share when they look whether what they show is so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import DeferredQueue

from netdemo.amqp import Message
from netdemo.errors import NotHeld

if TYPE_CHECKING:
    from netdemo.amqp import AMQPClient, Delivery, Queue


def expect(what: str, seen: object, expected: object) -> None:
    """Go on if it is as ``expected``.

    :raises NotHeld: if not, with both.
    """
    if seen != expected:
        raise NotHeld(f"{what}: expected {expected!r}, saw {seen!r}")


async def all_in(queue: Queue, client: AMQPClient) -> list[str]:
    """Return the texts of all messages that wait in ``queue``, in order.

    One more message is put behind them, and read up to: so one too many is seen as well.
    """
    last = Message(b"the last one")
    await client.publish(last, routing_key=queue.name)
    inbox: DeferredQueue[Delivery] = DeferredQueue()
    await client.consume(queue.name, inbox.put)
    texts = []
    while (message := (await inbox.get()).message).message_id != last.message_id:
        texts.append(message.body.decode(errors="replace"))
    return texts
