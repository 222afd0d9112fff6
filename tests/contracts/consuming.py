"""Consuming: basic.get, basic.consume, and how consumers share a queue."""

from __future__ import annotations

from typing import Any

from pika import spec

from tests.contract import Contract
from tests.contract_client import CAPABILITIES, Channel


async def bodies(channel: Channel, count: int) -> list[bytes]:
    """Return the bodies of the next deliveries."""
    return [(await channel.next(spec.Basic.Deliver)).body for _ in range(count)]


def publish(channel: Channel, queue: str, *messages: bytes) -> None:
    """Publish messages straight into a queue."""
    for message in messages:
        channel.publish("", queue, message)


class Getting(Contract):
    """basic.get."""

    async def test_got_messages_tell_how_many_remain(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"one", b"two")
        got = await channel.call(spec.Basic.Get(queue=queue))
        self.assertEqual(got.body, b"one")
        self.assertEqual((got.method.exchange, got.method.routing_key), ("", queue))
        self.assertEqual(
            (got.method.delivery_tag, got.method.redelivered, got.method.message_count),
            (1, False, 1),
        )

    async def test_an_empty_queue_has_nothing_to_get(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        empty = await channel.call(spec.Basic.Get(queue=queue))
        self.assertIsInstance(empty, spec.Basic.GetEmpty)

    async def test_nothing_can_be_got_from_a_queue_that_is_not_there(self) -> None:
        channel = await self.channel()
        queue = self.name()
        text = f"NOT_FOUND - no queue '{queue}' in vhost '/'"
        await self.closes_channel(channel, spec.Basic.Get(queue=queue), 404, text)

    async def test_what_is_got_without_ack_is_gone(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"one")
        await channel.get(queue)
        await channel.close()
        self.assertEqual(await self.drain(queue), [])

    async def test_what_is_got_and_not_acknowledged_comes_back_with_the_channels_end(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"one")
        await channel.get(queue, no_ack=False)
        self.assertEqual(await self.drain(queue), [])
        await channel.close()
        again = await (await self.channel()).get(queue)
        assert again is not None
        self.assertTrue(again.method.redelivered)

    async def test_delivery_tags_are_counted_per_channel(self) -> None:
        first = await self.channel()
        second = await first.client.open_channel()
        queue = await self.queue(first)
        publish(first, queue, b"1", b"2", b"3")
        tags = []
        for channel in (first, first, second):
            got = await channel.get(queue)
            assert got is not None
            tags.append(got.method.delivery_tag)
        self.assertEqual(tags, [1, 2, 1])


class Consuming(Contract):
    """basic.consume and basic.cancel."""

    async def test_messages_come_in_order_with_all_that_is_told_of_them(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"one", b"two")
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        first = await channel.next(spec.Basic.Deliver)
        second = await channel.next(spec.Basic.Deliver)
        self.assertEqual([first.body, second.body], [b"one", b"two"])
        method = second.method
        self.assertEqual((method.consumer_tag, method.delivery_tag), ("me", 2))
        self.assertEqual((method.exchange, method.routing_key), ("", queue))
        self.assertFalse(method.redelivered)

    async def test_the_broker_names_a_consumer_without_a_tag(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        consuming = await channel.call(spec.Basic.Consume(queue=queue))
        self.assertRegex(consuming.consumer_tag, r"^amq\.ctag-[\w-]{22}$")

    async def test_a_consumer_tag_in_use_ends_the_connection(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        consume = spec.Basic.Consume(queue=queue, consumer_tag="me")
        await channel.call(consume)
        text = "NOT_ALLOWED - attempt to reuse consumer tag 'me'"
        await self.closes_connection(channel, consume, 530, text)

    async def test_another_channel_may_use_the_same_consumer_tag(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        consume = spec.Basic.Consume(queue=queue, consumer_tag="me")
        await channel.call(consume)
        consuming = await (await channel.client.open_channel()).call(consume)
        self.assertEqual(consuming.consumer_tag, "me")

    async def test_a_queue_that_is_not_there_can_not_be_consumed(self) -> None:
        channel = await self.channel()
        queue = self.name()
        text = f"NOT_FOUND - no queue '{queue}' in vhost '/'"
        await self.closes_channel(channel, spec.Basic.Consume(queue=queue), 404, text)

    async def test_consume_without_wait_is_not_answered(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        channel.send(spec.Basic.Consume(queue=queue, consumer_tag="me", nowait=True))
        publish(channel, queue, b"one")
        self.assertEqual(await bodies(channel, 1), [b"one"])

    async def test_a_cancelled_consumer_gets_no_more(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        cancelled = await channel.call(spec.Basic.Cancel("me"))
        self.assertEqual(cancelled.consumer_tag, "me")
        publish(channel, queue, b"one")
        self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_what_a_cancelled_consumer_has_can_still_be_acknowledged(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"one")
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        delivered = await channel.next(spec.Basic.Deliver)
        await channel.call(spec.Basic.Cancel("me"))
        self.assertEqual(await self.drain(queue), [])
        channel.send(spec.Basic.Ack(delivered.method.delivery_tag))
        await channel.close()
        self.assertEqual(await self.drain(queue), [])

    async def test_cancelling_an_unknown_consumer_is_agreed_to(self) -> None:
        channel = await self.channel()
        cancelled = await channel.call(spec.Basic.Cancel("nobody"))
        self.assertEqual(cancelled.consumer_tag, "nobody")

    async def test_a_connection_gets_its_own_messages_whatever_no_local_says(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue, no_local=True))
        publish(channel, queue, b"own")
        self.assertEqual(await bodies(channel, 1), [b"own"])

    async def test_deliveries_without_ack_are_numbered_and_gone(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"1", b"2")
        await channel.call(spec.Basic.Consume(queue=queue, no_ack=True))
        tags = [(await channel.next(spec.Basic.Deliver)).method.delivery_tag for _ in range(2)]
        self.assertEqual(tags, [1, 2])
        text = "PRECONDITION_FAILED - unknown delivery tag 1"
        await self.closes_channel(channel, spec.Basic.Ack(1), 406, text)
        self.assertEqual(await self.drain(queue), [])


class ConsumersTogether(Contract):
    """Several consumers of one queue."""

    async def consumer(self, queue: str, **options: Any) -> Channel:
        """Return a channel with a consumer on it; ``prefetch`` is for its qos."""
        channel = await self.channel()
        if prefetch := options.pop("prefetch", None):
            await channel.call(spec.Basic.Qos(prefetch_count=prefetch))
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me", **options))
        return channel

    async def test_consumers_get_messages_in_turn(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        first = await self.consumer(queue)
        second = await self.consumer(queue)
        publish(channel, queue, b"1", b"2", b"3", b"4")
        self.assertEqual(await bodies(first, 2), [b"1", b"3"])
        self.assertEqual(await bodies(second, 2), [b"2", b"4"])

    async def test_a_consumer_that_is_full_is_passed_over(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        first = await self.consumer(queue, prefetch=1)
        second = await self.consumer(queue)
        publish(channel, queue, b"1", b"2", b"3")
        self.assertEqual(await bodies(first, 1), [b"1"])
        self.assertEqual(await bodies(second, 2), [b"2", b"3"])

    async def test_the_highest_priority_is_served_until_it_is_full(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        low = await self.consumer(queue)
        high = await self.consumer(queue, prefetch=2, arguments={"x-priority": 10})
        publish(channel, queue, b"1", b"2", b"3")
        self.assertEqual(await bodies(high, 2), [b"1", b"2"])
        self.assertEqual(await bodies(low, 1), [b"3"])

    async def test_a_requeued_message_goes_to_the_next_in_turn(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Qos(prefetch_count=1))
        for tag in ("one", "two"):
            await channel.call(spec.Basic.Consume(queue=queue, consumer_tag=tag))
        publish(channel, queue, b"a")
        seen = []
        for _ in range(4):
            method = (await channel.next(spec.Basic.Deliver)).method
            seen.append((method.consumer_tag, method.delivery_tag, method.redelivered))
            channel.send(spec.Basic.Nack(method.delivery_tag))
        self.assertEqual(
            seen, [("one", 1, False), ("two", 2, True), ("one", 3, True), ("two", 4, True)]
        )

    async def test_a_priority_must_be_a_number(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        for value, kind in (("a", "longstr"), (True, "bool"), (None, "void")):
            text = (
                f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{queue}' in vhost '/':"
                f' "expected integer, got {kind}"'
            )
            consume = spec.Basic.Consume(queue=queue, arguments={"x-priority": value})
            await self.closes_channel(await self.channel(), consume, 406, text)

    async def test_an_exclusive_consumer_keeps_others_out(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.consumer(queue, exclusive=True)
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        await self.closes_channel(channel, spec.Basic.Consume(queue=queue), 403, text)

    async def test_a_queue_with_consumers_can_not_be_consumed_exclusively(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.consumer(queue)
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        consume = spec.Basic.Consume(queue=queue, exclusive=True)
        await self.closes_channel(channel, consume, 403, text)

    async def test_an_exclusive_consumer_that_ended_keeps_nobody_out(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        first = await self.consumer(queue, exclusive=True)
        await first.call(spec.Basic.Cancel("me"))
        await channel.call(spec.Basic.Consume(queue=queue))

    async def test_anybody_may_get_beside_an_exclusive_consumer(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.consumer(queue, exclusive=True)
        self.assertIsNone(await channel.get(queue))

    async def test_a_single_active_consumer_gets_all_until_it_ends(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_single_active_consumer=True)
        first = await self.consumer(queue, no_ack=True)
        second = await self.consumer(queue, no_ack=True)
        publish(channel, queue, b"1", b"2")
        self.assertEqual(await bodies(first, 2), [b"1", b"2"])
        await first.call(spec.Basic.Cancel("me"))
        publish(channel, queue, b"3")
        self.assertEqual(await bodies(second, 1), [b"3"])

    async def test_the_next_takes_over_what_a_single_active_consumer_leaves(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_single_active_consumer=True)
        first = await self.consumer(queue)
        second = await self.consumer(queue)
        publish(channel, queue, b"1", b"2")
        self.assertEqual(await bodies(first, 2), [b"1", b"2"])
        first.send(spec.Basic.Ack(1))
        await first.close()
        again = await second.next(spec.Basic.Deliver)
        self.assertEqual((again.body, again.method.redelivered), (b"2", True))

    async def test_anybody_may_get_beside_a_single_active_consumer(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_single_active_consumer=True)
        await self.consumer(queue)
        self.assertIsNone(await channel.get(queue))

    async def test_a_queue_with_a_single_active_consumer_takes_no_exclusive_one(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_single_active_consumer=True)
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        consume = spec.Basic.Consume(queue=queue, exclusive=True)
        await self.closes_channel(channel, consume, 403, text)


class CancelledByBroker(Contract):
    """basic.cancel from the broker, when a queue goes."""

    async def deleted(self, **options: Any) -> Channel:
        """Return a channel whose consumer's queue another connection has deleted."""
        channel = await self.channel(**options)
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        await (await self.channel()).call(spec.Queue.Delete(queue=queue))
        return channel

    async def test_who_can_take_it_is_told_that_the_queue_is_gone(self) -> None:
        channel = await self.deleted()
        cancelled = await channel.next(spec.Basic.Cancel)
        self.assertEqual((cancelled.consumer_tag, cancelled.nowait), ("me", True))

    async def test_who_can_not_take_it_is_told_nothing(self) -> None:
        without = {**CAPABILITIES, "consumer_cancel_notify": False}
        channel = await self.deleted(capabilities=without)
        await self.pause(0.1)
        await self.settle(channel)
        self.assertEqual(channel.received, [])

    async def test_who_deletes_it_is_told_after_the_answer(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        await channel.call(spec.Queue.Delete(queue=queue))
        self.assertEqual(channel.received, [])
        await channel.next(spec.Basic.Cancel)

    async def test_the_tag_is_free_again(self) -> None:
        channel = await self.deleted()
        await channel.next(spec.Basic.Cancel)
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        publish(channel, queue, b"one")
        self.assertEqual(await bodies(channel, 1), [b"one"])
