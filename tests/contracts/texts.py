"""Texts: names that are odd, and replies about them."""

from __future__ import annotations

from pika import spec

from tests.contract import Contract
from tests.contract_client import ConnectionRefused


class Texts(Contract):
    """Short strings, in both directions."""

    async def told(self, queue: str) -> str | bytes:
        """Return what the broker tells of a queue that is not there; pika leaves odd bytes."""
        channel = await self.channel()
        refused = await channel.refused(spec.Queue.Declare(queue=queue, passive=True))
        return refused.reply_text

    async def test_names_stand_in_replies_as_they_are(self) -> None:
        for name in ("日本", "a'b\"c", "a\tb\x00", "~s{}%"):
            expected = f"NOT_FOUND - no queue '{name}' in vhost '/'"
            self.assertEqual(await self.told(name), expected)

    async def test_replies_are_cut_to_255_bytes(self) -> None:
        whole = "NOT_FOUND - no queue '{}' in vhost '/'"
        longest = "a" * (255 - len(whole.format("")))
        self.assertEqual(await self.told(longest), whole.format(longest))
        self.assertEqual(await self.told(longest + "b"), whole.format(longest + "b")[:252] + "...")

    async def test_replies_are_cut_within_a_character(self) -> None:
        told = await self.told("a" + "ü" * 127)
        expected = b"NOT_FOUND - no queue 'a" + "ü".encode() * 127
        self.assertEqual(told, expected[:252] + b"...")

    async def test_names_that_are_not_utf_8_end_the_connection(self) -> None:
        odd = b"odd\xff"
        for method in (
            spec.Queue.Declare(queue=odd),
            spec.Queue.Bind(0, "queue", "amq.direct", odd),
            spec.Exchange.Declare(exchange="x", type=odd),
            spec.Basic.Consume(queue="queue", consumer_tag=odd),
        ):
            channel = await self.channel()
            refused = await channel.refused(method)
            self.assertIsInstance(refused, ConnectionRefused)
            self.assert_refused(refused, 501, "FRAME_ERROR - Malformed UTF-8 in shortstr")

    async def test_routing_keys_that_are_not_utf_8_are_taken(self) -> None:
        channel = await self.channel()
        odd = b"odd\xff"
        channel.publish("", odd, b"one", mandatory=True)
        returned = await channel.next(spec.Basic.Return)
        self.assertEqual(returned.method.routing_key, odd)
