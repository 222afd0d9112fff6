"""Limits: how long messages stay in a queue, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, spec

from tests.contract import Contract
from tests.contracts.consuming import publish

if TYPE_CHECKING:
    from tests.contract_client import Channel


def expiring(milliseconds: int) -> BasicProperties:
    """Return the properties of a message that expires."""
    return BasicProperties(expiration=str(milliseconds))


class Expiring(Contract):
    """x-message-ttl and expiration."""

    async def test_a_message_expires_after_the_time_of_its_queue(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_message_ttl=1000)
        publish(channel, queue, b"old")
        await self.settle(channel)
        await self.pause(1.3)
        publish(channel, queue, b"new")
        self.assertEqual(await self.drain(queue, channel), [b"new"])

    async def test_a_message_expires_after_the_time_of_its_own(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        channel.publish("", queue, b"old", expiring(1000))
        channel.publish("", queue, b"new", expiring(50_000))
        await self.settle(channel)
        await self.pause(1.3)
        self.assertEqual(await self.drain(queue, channel), [b"new"])

    async def test_the_shorter_time_counts(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_message_ttl=1000)
        channel.publish("", queue, b"queue's", expiring(50_000))
        short = await self.queue(channel, x_message_ttl=50_000)
        channel.publish("", short, b"own", expiring(1000))
        await self.settle(channel)
        await self.pause(1.3)
        self.assertEqual(await self.drain(queue, channel), [])
        self.assertEqual(await self.drain(short, channel), [])

    async def test_what_expired_behind_another_is_counted_and_never_delivered(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"first")
        channel.publish("", queue, b"second", expiring(100))
        await self.settle(channel)
        await self.pause(0.3)
        declared = await channel.call(spec.Queue.Declare(queue=queue, passive=True))
        self.assertEqual(declared.message_count, 2)
        self.assertEqual(await self.drain(queue, channel), [b"first"])

    async def test_what_is_held_expires_when_it_is_given_back(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        channel.publish("", queue, b"one", expiring(1000))
        self.assertIsNotNone(await channel.get(queue, no_ack=False))
        await self.pause(1.3)
        channel.send(spec.Basic.Nack(1))
        self.assertEqual(await self.drain(queue, channel), [])

    async def test_no_time_at_all_is_enough_for_a_consumer_that_waits(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_message_ttl=0)
        publish(channel, queue, b"nobody waits")
        self.assertEqual(await self.drain(queue, channel), [])
        await channel.call(spec.Basic.Consume(queue=queue))
        publish(channel, queue, b"one")
        self.assertEqual((await channel.next(spec.Basic.Deliver)).body, b"one")

    async def test_delivered_messages_keep_their_expiration(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        channel.publish("", queue, b"one", expiring(50_000))
        got = await channel.get(queue)
        assert got is not None
        self.assertEqual(got.properties.expiration, "50000")


class Overflowing(Contract):
    """x-max-length, x-max-length-bytes and x-overflow."""

    async def confirming(self) -> Channel:
        """Return a channel that confirms."""
        channel = await self.channel()
        await channel.call(spec.Confirm.Select())
        return channel

    async def test_the_oldest_make_room(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_length=2)
        publish(channel, queue, b"1", b"2", b"3")
        self.assertEqual(await self.drain(queue, channel), [b"2", b"3"])

    async def test_what_makes_room_and_what_comes_are_confirmed(self) -> None:
        channel = await self.confirming()
        queue = await self.queue(channel, x_max_length=1)
        publish(channel, queue, b"1", b"2", b"3")
        self.assertEqual(await channel.confirms(3), {1: True, 2: True, 3: True})

    async def test_the_bytes_of_bodies_are_limited(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_length_bytes=5)
        publish(channel, queue, b"abc", b"de", b"f")
        self.assertEqual(await self.drain(queue, channel), [b"de", b"f"])
        publish(channel, queue, b"abc", b"0123456789")
        self.assertEqual(await self.drain(queue, channel), [])

    async def test_both_limits_hold(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_length=2, x_max_length_bytes=5)
        publish(channel, queue, b"a", b"b", b"c", b"defg")
        self.assertEqual(await self.drain(queue, channel), [b"c", b"defg"])

    async def test_what_is_held_does_not_count(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_length=1)
        publish(channel, queue, b"1")
        self.assertIsNotNone(await channel.get(queue, no_ack=False))
        publish(channel, queue, b"2")
        channel.send(spec.Basic.Nack(1))
        self.assertEqual(await self.drain(queue, channel), [b"2"])

    async def test_what_would_be_delivered_first_makes_room_for_lower_priorities(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_length=2, x_max_priority=5)
        for priority in (5, 1, 3):
            properties = BasicProperties(priority=priority)
            channel.publish("", queue, b"%d" % priority, properties)
        self.assertEqual(await self.drain(queue, channel), [b"3", b"1"])

    async def test_reject_publish_refuses_what_comes(self) -> None:
        channel = await self.confirming()
        queue = await self.queue(channel, x_max_length=1, x_overflow="reject-publish")
        publish(channel, queue, b"1", b"2")
        self.assertEqual(await channel.confirms(2), {1: True, 2: False})
        self.assertEqual(await self.drain(queue), [b"1"])
        publish(channel, queue, b"3")
        self.assertEqual(await channel.confirms(1), {3: True})

    async def test_a_message_is_refused_if_one_of_its_queues_refuses_it(self) -> None:
        channel = await self.confirming()
        full = await self.queue(channel, x_max_length=1, x_overflow="reject-publish")
        free = await self.queue(channel)
        exchange = self.name("x")
        await channel.call(spec.Exchange.Declare(exchange=exchange, type="fanout"))
        for queue in (full, free):
            await channel.call(spec.Queue.Bind(queue=queue, exchange=exchange))
        publish(channel, full, b"1")
        channel.publish(exchange, "", b"2", mandatory=True)
        self.assertEqual(await channel.confirms(2), {1: True, 2: False})
        self.assertEqual(await self.drain(free), [b"2"])

    async def test_reject_publish_dlx_refuses_and_dead_letters(self) -> None:
        channel = await self.confirming()
        dead = await self.queue(channel)
        queue = await self.queue(
            channel,
            x_max_length=1,
            x_overflow="reject-publish-dlx",
            x_dead_letter_exchange="",
            x_dead_letter_routing_key=dead,
        )
        publish(channel, queue, b"1", b"2")
        self.assertEqual(await channel.confirms(2), {1: True, 2: False})
        self.assertEqual(await self.drain(queue), [b"1"])
        self.assertEqual(await self.drain(dead), [b"2"])
