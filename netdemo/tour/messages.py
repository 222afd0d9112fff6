"""Sending messages and reading them, as several stops of the tour do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import DeferredQueue, gatherResults

from netdemo.amqp import Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netdemo.amqp import AMQPClient, Delivery, Queue


async def publish_all(messages: Iterable[Message], queue: Queue, client: AMQPClient) -> None:
    """Publish ``messages`` to ``queue`` without waiting for each; return when all are confirmed."""
    publishing = [client.publish(message, routing_key=queue.name) for message in messages]
    await gatherResults(publishing, consumeErrors=True)


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
