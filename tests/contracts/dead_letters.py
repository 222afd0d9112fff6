"""Dead letters: where messages go that a queue gives up, and what is told of it in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pika import BasicProperties, spec

from tests.contract import Contract
from tests.contracts.consuming import publish

if TYPE_CHECKING:
    from tests.contract_client import Channel, Content


def death(
    queue: str, count: int = 1, reason: str = "rejected", more: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return an entry of x-death, without its time."""
    entry = {"count": count, "reason": reason, "queue": queue, "exchange": ""}
    return {**entry, "routing-keys": [queue], **(more or {})}


class DeadLettering(Contract):
    """x-dead-letter-exchange and x-dead-letter-routing-key."""

    async def giving_up(self, channel: Channel, to: str, **arguments: Any) -> str:
        """Declare a queue whose dead letters go straight to another."""
        options = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": to, **arguments}
        return await self.queue(channel, **options)

    async def consumed(self, channel: Channel) -> str:
        """Declare a queue and consume it."""
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue, no_ack=True))
        return queue

    async def reject(self, channel: Channel, queue: str, requeue: bool = False) -> None:
        """Get a message and reject it."""
        got = await channel.get(queue, no_ack=False)
        assert got is not None
        channel.send(spec.Basic.Reject(got.method.delivery_tag, requeue=requeue))

    def deaths(self, dead: Content) -> list[dict[str, Any]]:
        """Return what is told of a message's deaths, after a look at the times."""
        entries: list[dict[str, Any]] = dead.properties.headers["x-death"]
        for entry in entries:
            self.assertLess(abs((datetime.now(UTC) - entry.pop("time")).total_seconds()), 60)
        return entries

    async def dead(self, queue: str, channel: Channel, reason: str) -> Content:
        """Return the next dead letter; it must tell of one death in a queue."""
        dead: Content = await channel.next(spec.Basic.Deliver)
        expected = death(queue, reason=reason)
        self.assertEqual(self.deaths(dead), [expected])
        headers = dict(dead.properties.headers)
        del headers["x-death"]
        self.assertEqual(
            headers,
            {
                "x-first-death-exchange": "",
                "x-first-death-queue": queue,
                "x-first-death-reason": reason,
            },
        )
        return dead

    async def test_rejected_messages_die(self) -> None:
        for method in (spec.Basic.Reject(2, requeue=False), spec.Basic.Nack(2, requeue=False)):
            channel = await self.channel()
            to = await self.consumed(channel)
            queue = await self.giving_up(channel, to)
            publish(channel, queue, b"lives", b"dies")
            for _ in range(2):
                await channel.get(queue, no_ack=False)
            channel.send(method)
            dead = await self.dead(queue, channel, "rejected")
            self.assertEqual(dead.body, b"dies")
            method = dead.method
            self.assertEqual((method.exchange, method.routing_key), ("", to))
            self.assertFalse(method.redelivered)

    async def test_requeued_and_acknowledged_messages_do_not_die(self) -> None:
        channel = await self.channel()
        to = await self.queue(channel)
        queue = await self.giving_up(channel, to)
        publish(channel, queue, b"one")
        await self.reject(channel, queue, requeue=True)
        await channel.get(queue, no_ack=False)
        channel.send(spec.Basic.Ack(2))
        self.assertEqual(await self.drain(to, channel), [])

    async def test_expired_messages_die(self) -> None:
        channel = await self.channel()
        queue = await self.giving_up(channel, await self.consumed(channel), x_message_ttl=50)
        publish(channel, queue, b"one")
        await self.pause(0.2)
        await self.dead(queue, channel, "expired")

    async def test_messages_that_make_room_die(self) -> None:
        channel = await self.channel()
        queue = await self.giving_up(channel, await self.consumed(channel), x_max_length=1)
        publish(channel, queue, b"1", b"2")
        dead = await self.dead(queue, channel, "maxlen")
        self.assertEqual(dead.body, b"1")

    async def test_messages_of_a_queue_that_is_purged_or_deleted_do_not_die(self) -> None:
        channel = await self.channel()
        to = await self.queue(channel)
        queue = await self.giving_up(channel, to)
        publish(channel, queue, b"1")
        await channel.call(spec.Queue.Purge(queue=queue))
        publish(channel, queue, b"2")
        await channel.call(spec.Queue.Delete(queue=queue))
        self.assertEqual(await self.drain(to, channel), [])

    async def test_the_expiration_is_kept_in_the_headers_alone(self) -> None:
        channel = await self.channel()
        queue = await self.giving_up(channel, await self.consumed(channel))
        channel.publish("", queue, b"one", BasicProperties(expiration="50000", message_id="m"))
        await self.reject(channel, queue)
        dead = await channel.next(spec.Basic.Deliver)
        expected = death(queue, more={"original-expiration": "50000"})
        self.assertEqual(self.deaths(dead), [expected])
        self.assertIsNone(dead.properties.expiration)
        self.assertEqual(dead.properties.message_id, "m")

    async def test_the_exchange_routes_by_the_key_that_the_message_had(self) -> None:
        channel = await self.channel()
        exchange, to = self.name("x"), await self.consumed(channel)
        await channel.call(spec.Exchange.Declare(exchange=exchange, type="direct"))
        queue = await self.queue(channel, x_dead_letter_exchange=exchange)
        await channel.call(spec.Queue.Bind(0, to, exchange, queue))
        publish(channel, queue, b"one")
        await self.reject(channel, queue)
        dead = await self.dead(queue, channel, "rejected")
        self.assertEqual((dead.method.exchange, dead.method.routing_key), (exchange, queue))

    async def test_an_exchange_that_is_not_there_gets_nothing(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_dead_letter_exchange=self.name("x"))
        publish(channel, queue, b"one")
        await self.reject(channel, queue)
        self.assertEqual(await self.drain(queue, channel), [])

    async def test_copies_are_heeded_again_without_a_key_of_the_queues(self) -> None:
        channel = await self.channel()
        copy, blind, exchange = await self.consumed(channel), "blind", self.name("x")
        await channel.call(spec.Exchange.Declare(exchange=exchange, type="direct"))
        await channel.call(spec.Queue.Bind(0, copy, exchange, "copy"))
        queue = await self.queue(channel, x_dead_letter_exchange=exchange)
        headers = {"CC": ["copy"], "BCC": [blind]}
        channel.publish("", queue, b"one", BasicProperties(headers=headers))
        await self.reject(channel, queue)
        dead = await channel.next(spec.Basic.Deliver)
        self.assertEqual(self.deaths(dead), [death(queue, more={"routing-keys": [queue, "copy"]})])
        self.assertEqual(dead.properties.headers["CC"], ["copy"])

    async def test_copies_end_with_a_key_of_the_queues(self) -> None:
        channel = await self.channel()
        queue = await self.giving_up(channel, await self.consumed(channel))
        channel.publish("", queue, b"one", BasicProperties(headers={"CC": ["copy"]}))
        await self.reject(channel, queue)
        dead = await channel.next(spec.Basic.Deliver)
        self.assertEqual(self.deaths(dead), [death(queue, more={"routing-keys": [queue, "copy"]})])
        self.assertNotIn("CC", dead.properties.headers)

    async def test_each_death_is_told_the_latest_first(self) -> None:
        channel = await self.channel()
        to = await self.consumed(channel)
        second = await self.giving_up(channel, to)
        first = await self.giving_up(channel, second)
        publish(channel, first, b"one")
        await self.reject(channel, first)
        await self.settle(channel)
        await self.reject(channel, second)
        dead = await channel.next(spec.Basic.Deliver)
        self.assertEqual(self.deaths(dead), [death(second), death(first)])
        self.assertEqual(dead.properties.headers["x-first-death-queue"], first)

    async def test_deaths_in_the_same_queue_for_the_same_reason_are_counted(self) -> None:
        channel = await self.channel()
        to = await self.consumed(channel)
        queue = await self.giving_up(channel, to)
        publish(channel, queue, b"one")
        for count in (1, 2, 3):
            await self.reject(channel, queue)
            dead = await channel.next(spec.Basic.Deliver)
            channel.publish("", queue, dead.body, dead.properties)
            self.assertEqual(self.deaths(dead), [death(queue, count)])

    async def test_another_reason_is_told_besides(self) -> None:
        channel = await self.channel()
        queue = await self.giving_up(channel, await self.consumed(channel), x_max_length=1)
        publish(channel, queue, b"1")
        await self.reject(channel, queue)
        dead = await channel.next(spec.Basic.Deliver)
        channel.publish("", queue, dead.body, dead.properties)
        publish(channel, queue, b"2")
        dead = await channel.next(spec.Basic.Deliver)
        self.assertEqual(self.deaths(dead), [death(queue, reason="maxlen"), death(queue)])
        self.assertEqual(dead.properties.headers["x-first-death-reason"], "rejected")

    async def test_what_a_client_tells_of_a_first_death_is_not_believed(self) -> None:
        channel = await self.channel()
        queue = await self.giving_up(channel, await self.consumed(channel))
        headers = {"x-first-death-queue": "mine"}
        channel.publish("", queue, b"one", BasicProperties(headers=headers))
        await self.reject(channel, queue)
        await self.dead(queue, channel, "rejected")

    async def test_a_first_death_is_not_told_where_deaths_were_told_before(self) -> None:
        odd: tuple[Any, ...] = ("odd", [])
        for value in odd:
            channel = await self.channel()
            queue = await self.giving_up(channel, await self.consumed(channel))
            channel.publish("", queue, b"one", BasicProperties(headers={"x-death": value}))
            await self.reject(channel, queue)
            dead = await channel.next(spec.Basic.Deliver)
            self.assertEqual(self.deaths(dead), [death(queue)])
            self.assertEqual(list(dead.properties.headers), ["x-death"])

    async def test_a_message_that_only_expires_goes_no_second_time_to_a_queue(self) -> None:
        channel = await self.channel()
        arguments = {"x_dead_letter_exchange": "", "x_message_ttl": 50}
        itself = await self.queue(channel, **arguments)
        publish(channel, itself, b"one")
        await self.settle(channel)
        await self.pause(0.3)
        self.assertEqual(await self.drain(itself, channel), [])

    async def test_a_message_that_is_rejected_may_go_round(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_dead_letter_exchange="")
        publish(channel, queue, b"one")
        for _ in range(2):
            await self.reject(channel, queue)
            await self.settle(channel)
        again = await channel.get(queue)
        assert again is not None
        self.assertEqual(self.deaths(again), [death(queue, 2)])


class DeliveryLimit(Contract):
    """x-delivery-limit of quorum queues."""

    async def test_who_is_given_back_too_often_dies(self) -> None:
        channel = await self.channel()
        to, queue = await self.queue(channel), self.name()
        await channel.call(spec.Basic.Consume(queue=to, consumer_tag="dead"))
        arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": 1,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": to,
        }
        await channel.call(spec.Queue.Declare(queue=queue, durable=True, arguments=arguments))
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        publish(channel, queue, b"one")
        for count in (None, 1):
            delivered = await channel.next(spec.Basic.Deliver)
            self.assertEqual(delivered.method.consumer_tag, "me")
            self.assertEqual(delivered.method.redelivered, count is not None)
            headers = delivered.properties.headers
            self.assertEqual(headers, count and {"x-delivery-count": count})
            channel.send(spec.Basic.Nack(delivered.method.delivery_tag))
        dead = await channel.next(spec.Basic.Deliver)
        self.assertEqual(dead.method.consumer_tag, "dead")
        self.assertEqual(dead.properties.headers["x-first-death-reason"], "delivery_limit")
        self.assertNotIn("x-delivery-count", dead.properties.headers)
