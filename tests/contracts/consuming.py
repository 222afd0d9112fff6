"""Consuming: delivery, acknowledgement, and what comes again."""

from __future__ import annotations

from pika import spec

from tests.contract import Contract


class Consuming(Contract):
    """basic.get, basic.consume and what answers them."""

    async def test_got_messages_tell_how_many_remain(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        channel.publish("", queue, b"one")
        channel.publish("", queue, b"two")
        got = await channel.call(spec.Basic.Get(queue=queue))
        self.assertEqual(got.body, b"one")
        self.assertEqual(
            (got.method.delivery_tag, got.method.redelivered, got.method.message_count),
            (1, False, 1),
        )
        self.assertEqual((got.method.exchange, got.method.routing_key), ("", queue))

    async def test_an_unknown_delivery_tag_closes_the_channel(self) -> None:
        channel = await self.channel()
        await self.closes_channel(
            channel, spec.Basic.Ack(7), 406, "PRECONDITION_FAILED - unknown delivery tag 7"
        )
