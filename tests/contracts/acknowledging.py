"""Acknowledging: ack, nack, reject and recover, and how many may wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import spec

from tests.contract import Contract
from tests.contracts.consuming import bodies, publish

if TYPE_CHECKING:
    from tests.contract_client import Channel


class Acknowledging(Contract):
    """basic.ack, basic.nack, basic.reject."""

    async def holding(self, count: int) -> tuple[Channel, str]:
        """Return a channel that has got so many messages from a queue."""
        channel = await self.channel()
        queue = await self.queue(channel)
        for number in range(1, count + 1):
            publish(channel, queue, b"%d" % number)
            await channel.get(queue, no_ack=False)
        return channel, queue

    async def left(self, channel: Channel, queue: str) -> list[bytes]:
        """Close the channel, and return what is in the queue then."""
        await channel.close()
        return await self.drain(queue)

    async def test_only_what_is_acknowledged_is_gone(self) -> None:
        channel, queue = await self.holding(3)
        channel.send(spec.Basic.Ack(2))
        self.assertEqual(await self.left(channel, queue), [b"1", b"3"])

    async def test_multiple_acknowledges_all_up_to_the_tag(self) -> None:
        channel, queue = await self.holding(3)
        channel.send(spec.Basic.Ack(2, multiple=True))
        self.assertEqual(await self.left(channel, queue), [b"3"])

    async def test_multiple_with_tag_zero_acknowledges_all(self) -> None:
        channel, queue = await self.holding(3)
        channel.send(spec.Basic.Ack(0, multiple=True))
        self.assertEqual(await self.left(channel, queue), [])

    async def test_multiple_with_tag_zero_is_fine_when_there_is_nothing(self) -> None:
        channel = await self.channel()
        channel.send(spec.Basic.Ack(0, multiple=True))
        channel.send(spec.Basic.Nack(0, multiple=True))
        await self.settle(channel)

    async def test_an_unknown_delivery_tag_closes_the_channel(self) -> None:
        for method in (
            spec.Basic.Ack(7),
            spec.Basic.Ack(7, multiple=True),
            spec.Basic.Nack(7),
            spec.Basic.Nack(7, multiple=True),
            spec.Basic.Reject(7),
        ):
            channel = await self.channel()
            text = "PRECONDITION_FAILED - unknown delivery tag 7"
            await self.closes_channel(channel, method, 406, text)

    async def test_tag_zero_alone_is_unknown(self) -> None:
        for method in (spec.Basic.Ack(0), spec.Basic.Nack(0), spec.Basic.Reject(0)):
            channel, _ = await self.holding(1)
            text = "PRECONDITION_FAILED - unknown delivery tag 0"
            await self.closes_channel(channel, method, 406, text)

    async def test_a_tag_can_be_acknowledged_once(self) -> None:
        channel, _ = await self.holding(2)
        channel.send(spec.Basic.Ack(1))
        text = "PRECONDITION_FAILED - unknown delivery tag 1"
        await self.closes_channel(channel, spec.Basic.Ack(1), 406, text)

    async def test_a_tag_is_known_on_its_own_channel_alone(self) -> None:
        channel, _ = await self.holding(1)
        other = await channel.client.open_channel()
        text = "PRECONDITION_FAILED - unknown delivery tag 1"
        await self.closes_channel(other, spec.Basic.Ack(1), 406, text)

    async def test_what_is_held_comes_back_when_the_broker_closes_the_channel(self) -> None:
        channel, queue = await self.holding(2)
        await channel.refused(spec.Basic.Ack(9))
        other = await self.channel()
        await other.call(spec.Basic.Consume(queue=queue))
        self.assertEqual(await bodies(other, 2), [b"1", b"2"])

    async def test_what_is_held_comes_back_when_the_connection_is_lost(self) -> None:
        channel, queue = await self.holding(2)
        other = await self.channel()
        await other.call(spec.Basic.Consume(queue=queue))
        channel.client.abort()
        for body in (b"1", b"2"):
            again = await other.next(spec.Basic.Deliver)
            self.assertEqual((again.body, again.method.redelivered), (body, True))

    async def test_a_rejected_message_is_dropped_without_requeue(self) -> None:
        channel, queue = await self.holding(2)
        channel.send(spec.Basic.Reject(1, requeue=False))
        channel.send(spec.Basic.Nack(2, requeue=False))
        self.assertEqual(await self.left(channel, queue), [])

    async def test_a_requeued_message_is_marked_as_redelivered(self) -> None:
        for method in (spec.Basic.Reject(1), spec.Basic.Nack(1)):
            channel, queue = await self.holding(1)
            channel.send(method)
            again = await channel.get(queue)
            assert again is not None
            self.assertEqual((again.method.redelivered, again.method.delivery_tag), (True, 2))

    async def test_requeued_messages_go_back_to_where_they_were(self) -> None:
        channel, queue = await self.holding(3)
        publish(channel, queue, b"4")
        channel.send(spec.Basic.Nack(2))
        channel.send(spec.Basic.Nack(1))
        channel.send(spec.Basic.Ack(3))
        self.assertEqual(await self.left(channel, queue), [b"1", b"2", b"4"])

    async def test_nack_multiple_requeues_all_up_to_the_tag(self) -> None:
        channel, queue = await self.holding(3)
        channel.send(spec.Basic.Ack(1))
        channel.send(spec.Basic.Nack(2, multiple=True))
        self.assertEqual(await self.left(channel, queue), [b"2", b"3"])

    async def test_recover_brings_back_all_that_is_held(self) -> None:
        channel, queue = await self.holding(2)
        await channel.call(spec.Basic.Recover(requeue=True))
        again = [await channel.get(queue, no_ack=False) for _ in range(2)]
        told = [
            (each.body, each.method.delivery_tag, each.method.redelivered)
            for each in again
            if each is not None
        ]
        self.assertEqual(told, [(b"1", 3, True), (b"2", 4, True)])
        text = "PRECONDITION_FAILED - unknown delivery tag 1"
        await self.closes_channel(channel, spec.Basic.Ack(1), 406, text)

    async def test_recover_async_is_not_answered(self) -> None:
        channel, queue = await self.holding(1)
        channel.send(spec.Basic.RecoverAsync(requeue=True))
        self.assertIsNotNone(await channel.get(queue))

    async def test_recover_to_the_same_consumer_is_not_done(self) -> None:
        for method in (spec.Basic.Recover(requeue=False), spec.Basic.RecoverAsync(requeue=False)):
            channel, _ = await self.holding(1)
            await self.closes_connection(channel, method, 540, "NOT_IMPLEMENTED - requeue=false")


class Prefetching(Contract):
    """basic.qos."""

    async def full(self, **options: int | bool) -> tuple[Channel, str]:
        """Return a channel with this qos and two consumers, and their queue of five messages."""
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, *(b"%d" % number for number in range(1, 6)))
        await channel.call(spec.Basic.Qos(**options))
        for tag in ("one", "two"):
            await channel.call(spec.Basic.Consume(queue=queue, consumer_tag=tag))
        return channel, queue

    async def test_each_consumer_has_the_prefetch_count_of_its_own(self) -> None:
        channel, queue = await self.full(prefetch_count=2)
        self.assertEqual(await bodies(channel, 4), [b"1", b"2", b"3", b"4"])
        self.assertEqual(await self.drain(queue, channel), [b"5"])

    async def test_a_global_prefetch_count_is_for_the_channel(self) -> None:
        channel, queue = await self.full(prefetch_count=2, global_qos=True)
        self.assertEqual(await bodies(channel, 2), [b"1", b"2"])
        self.assertEqual(await self.drain(queue, channel), [b"3", b"4", b"5"])

    async def test_an_acknowledgement_makes_room(self) -> None:
        channel, queue = await self.full(prefetch_count=1, global_qos=True)
        await bodies(channel, 1)
        channel.send(spec.Basic.Ack(1))
        self.assertEqual(await bodies(channel, 1), [b"2"])
        channel.send(spec.Basic.Reject(2, requeue=False))
        self.assertEqual(await bodies(channel, 1), [b"3"])
        self.assertEqual(await self.drain(queue, channel), [b"4", b"5"])

    async def test_a_limit_of_the_channel_holds_beside_those_of_consumers(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, *(b"%d" % number for number in range(1, 6)))
        await channel.call(spec.Basic.Qos(prefetch_count=2))
        await channel.call(spec.Basic.Qos(prefetch_count=3, global_qos=True))
        for _ in range(2):
            await channel.call(spec.Basic.Consume(queue=queue))
        self.assertEqual(await bodies(channel, 3), [b"1", b"2", b"3"])
        self.assertEqual(await self.drain(queue, channel), [b"4", b"5"])

    async def test_a_later_limit_of_consumers_ends_that_of_the_channel(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, *(b"%d" % number for number in range(1, 6)))
        await channel.call(spec.Basic.Qos(prefetch_count=1, global_qos=True))
        await channel.call(spec.Basic.Qos(prefetch_count=2))
        for _ in range(2):
            await channel.call(spec.Basic.Consume(queue=queue))
        self.assertEqual(await bodies(channel, 4), [b"1", b"2", b"3", b"4"])
        self.assertEqual(await self.drain(queue, channel), [b"5"])

    async def test_a_higher_limit_of_the_channel_makes_room(self) -> None:
        channel, _ = await self.full(prefetch_count=1, global_qos=True)
        await bodies(channel, 1)
        await channel.call(spec.Basic.Qos(prefetch_count=3, global_qos=True))
        self.assertEqual(await bodies(channel, 2), [b"2", b"3"])
        await channel.call(spec.Basic.Qos(prefetch_count=0, global_qos=True))
        self.assertEqual(await bodies(channel, 2), [b"4", b"5"])

    async def test_no_prefetch_count_is_no_limit(self) -> None:
        channel, queue = await self.full(prefetch_count=0)
        self.assertEqual(await bodies(channel, 5), [b"1", b"2", b"3", b"4", b"5"])
        self.assertEqual(await self.drain(queue, channel), [])

    async def test_a_prefetch_count_is_for_consumers_to_come(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue))
        await channel.call(spec.Basic.Qos(prefetch_count=1))
        publish(channel, queue, b"1", b"2")
        self.assertEqual(await bodies(channel, 2), [b"1", b"2"])

    async def test_get_heeds_no_prefetch_count(self) -> None:
        channel, queue = await self.full(prefetch_count=1, global_qos=True)
        self.assertIsNotNone(await channel.get(queue, no_ack=False))

    async def test_consumers_without_ack_heed_no_prefetch_count(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"1", b"2")
        await channel.call(spec.Basic.Qos(prefetch_count=1))
        await channel.call(spec.Basic.Consume(queue=queue, no_ack=True))
        self.assertEqual(await bodies(channel, 2), [b"1", b"2"])

    async def test_a_prefetch_size_is_not_done(self) -> None:
        channel = await self.channel()
        text = "NOT_IMPLEMENTED - prefetch_size!=0 (10)"
        await self.closes_connection(channel, spec.Basic.Qos(prefetch_size=10), 540, text)


class AfterCancel(Contract):
    """What a consumer holds when it is cancelled."""

    async def test_it_may_be_answered_and_brings_nothing_more(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        for body in (b"1", b"2", b"3"):
            channel.publish("", queue, body)
        await channel.call(spec.Basic.Qos(prefetch_count=2))
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        for _ in range(2):
            await channel.next(spec.Basic.Deliver)
        await channel.call(spec.Basic.Cancel("me"))
        channel.send(spec.Basic.Ack(1))
        channel.send(spec.Basic.Nack(2, requeue=True))
        await self.settle(channel)
        self.assertEqual(await self.drain(queue, channel), [b"2", b"3"])
