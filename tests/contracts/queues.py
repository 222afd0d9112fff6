"""Queues: declared, bound, purged, deleted, and who they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import spec

from tests.contract import Contract
from tests.contracts.consuming import publish

if TYPE_CHECKING:
    from tests.contract_client import Channel


def locked(queue: str) -> str:
    """Return what is told to those a queue does not belong to."""
    return (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'."
        " It could be originally declared on another connection or the exclusive property value"
        " does not match that of the original declaration."
    )


class Queues(Contract):
    """queue.declare, queue.purge and queue.delete."""

    async def declared(self, channel: Channel, queue: str) -> tuple[int, int]:
        """Return how many messages and consumers a queue has, as its declaration tells."""
        method = await channel.call(spec.Queue.Declare(queue=queue, passive=True))
        self.assertEqual(method.queue, queue)
        return method.message_count, method.consumer_count

    async def gone(self, queue: str) -> None:
        """Check that there is no such queue."""
        text = f"NOT_FOUND - no queue '{queue}' in vhost '/'"
        passive = spec.Queue.Declare(queue=queue, passive=True)
        await self.closes_channel(await self.channel(), passive, 404, text)

    async def test_a_declaration_tells_messages_and_consumers(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        self.assertEqual(await self.declared(channel, queue), (0, 0))
        await channel.call(spec.Confirm.Select())
        publish(channel, queue, b"1", b"2")
        await channel.confirms(2)
        self.assertEqual(await self.declared(channel, queue), (2, 0))
        await channel.call(spec.Basic.Qos(prefetch_count=1))
        await channel.call(spec.Basic.Consume(queue=queue))
        await channel.next(spec.Basic.Deliver)
        self.assertEqual(await self.declared(channel, queue), (1, 1))

    async def test_the_broker_names_a_queue_without_a_name(self) -> None:
        channel = await self.channel()
        first = await channel.call(spec.Queue.Declare(queue="", exclusive=True))
        second = await channel.call(spec.Queue.Declare(queue="", exclusive=True))
        self.assertRegex(first.queue, r"^amq\.gen-[\w-]{22}$")
        self.assertNotEqual(first.queue, second.queue)

    async def test_names_of_the_brokers_own_can_not_be_declared(self) -> None:
        channel = await self.channel()
        text = "ACCESS_REFUSED - queue name 'amq.odd' contains reserved prefix 'amq.*'"
        await self.closes_channel(channel, spec.Queue.Declare(queue="amq.odd"), 403, text)

    async def test_names_of_the_brokers_own_can_be_looked_for(self) -> None:
        await self.gone("amq.odd")

    async def test_passive_finds_no_queue(self) -> None:
        await self.gone(self.name())

    async def test_passive_compares_nothing_but_the_name(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(
            spec.Queue.Declare(
                queue=queue, passive=True, durable=True, arguments={"x-max-length": 1}
            )
        )

    async def test_line_ends_are_dropped_out_of_names(self) -> None:
        channel = await self.channel()
        queue = self.name()
        odd = f"{queue[:3]}\r\n{queue[3:]}\n"
        declared = await channel.call(spec.Queue.Declare(queue=odd))
        self.assertEqual(declared.queue, queue)

    async def test_names_may_be_as_long_as_can_be_sent(self) -> None:
        channel = await self.channel()
        queue = "ü" * 127
        await channel.call(spec.Queue.Declare(queue=queue, exclusive=True))
        publish(channel, queue, b"one")
        self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_an_empty_name_is_the_queue_that_was_declared_last(self) -> None:
        channel = await self.channel()
        await self.queue(channel)
        queue = await self.queue(channel)
        publish(channel, queue, b"one", b"two")
        self.assertIsNotNone(await channel.get(""))
        purged = await channel.call(spec.Queue.Purge(queue=""))
        self.assertEqual(purged.message_count, 1)

    async def test_an_empty_name_is_none_where_no_queue_was_declared(self) -> None:
        await self.queue(await self.channel())
        for method in (
            spec.Queue.Bind(exchange="amq.direct"),
            spec.Queue.Unbind(exchange="amq.direct"),
            spec.Queue.Purge(),
            spec.Queue.Delete(),
            spec.Basic.Get(),
            spec.Basic.Consume(),
        ):
            text = "NOT_FOUND - no previously declared queue"
            await self.closes_channel(await self.channel(), method, 404, text)

    async def test_an_empty_name_is_never_looked_for(self) -> None:
        channel = await self.channel()
        await self.queue(channel)
        text = "NOT_FOUND - no queue '' in vhost '/'"
        passive = spec.Queue.Declare(queue="", passive=True)
        await self.closes_channel(channel, passive, 404, text)

    async def test_declare_without_wait_is_not_answered(self) -> None:
        channel = await self.channel()
        queue = self.name()
        channel.send(spec.Queue.Declare(queue=queue, nowait=True))
        self.assertEqual(await self.declared(channel, queue), (0, 0))

    async def test_a_refusal_comes_without_wait_too(self) -> None:
        channel = await self.channel()
        text = "NOT_FOUND - no queue 'nowhere' in vhost '/'"
        passive = spec.Queue.Declare(queue="nowhere", passive=True, nowait=True)
        await self.closes_channel(channel, passive, 404, text)

    async def test_purge_drops_what_is_ready(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"1", b"2", b"3")
        await channel.get(queue, no_ack=False)
        purged = await channel.call(spec.Queue.Purge(queue=queue))
        self.assertEqual(purged.message_count, 2)
        channel.send(spec.Basic.Nack(1))
        self.assertEqual(await self.drain(queue, channel), [b"1"])

    async def test_purging_no_queue_is_refused(self) -> None:
        channel = await self.channel()
        text = "NOT_FOUND - no queue 'nowhere' in vhost '/'"
        await self.closes_channel(channel, spec.Queue.Purge(queue="nowhere"), 404, text)

    async def test_delete_tells_what_was_ready(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"1", b"2", b"3")
        await channel.get(queue, no_ack=False)
        deleted = await channel.call(spec.Queue.Delete(queue=queue))
        self.assertEqual(deleted.message_count, 2)
        await self.gone(queue)

    async def test_deleting_no_queue_is_agreed_to(self) -> None:
        channel = await self.channel()
        deleted = await channel.call(spec.Queue.Delete(queue=self.name(), if_empty=True))
        self.assertEqual(deleted.message_count, 0)

    async def test_a_queue_with_messages_is_not_deleted_if_empty(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish(channel, queue, b"1")
        text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"
        delete = spec.Queue.Delete(queue=queue, if_empty=True)
        await self.closes_channel(channel, delete, 406, text)
        self.assertEqual(await self.drain(queue), [b"1"])
        await (await self.channel()).call(delete)
        await self.gone(queue)

    async def test_a_queue_with_consumers_is_not_deleted_if_unused(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me"))
        text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"
        delete = spec.Queue.Delete(queue=queue, if_unused=True)
        await self.closes_channel(await self.channel(), delete, 406, text)
        await channel.call(spec.Basic.Cancel("me"))
        await channel.call(delete)
        await self.gone(queue)

    async def test_an_auto_delete_queue_goes_with_its_last_consumer(self) -> None:
        channel = await self.channel()
        queue = self.name()
        await channel.call(spec.Queue.Declare(queue=queue, auto_delete=True))
        for tag in ("one", "two"):
            await channel.call(spec.Basic.Consume(queue=queue, consumer_tag=tag))
        await channel.call(spec.Basic.Cancel("one"))
        self.assertEqual(await self.declared(channel, queue), (0, 1))
        await channel.call(spec.Basic.Cancel("two"))
        await self.gone(queue)

    async def test_an_auto_delete_queue_goes_with_the_channel_of_its_last_consumer(self) -> None:
        channel = await self.channel()
        queue = self.name()
        await channel.call(spec.Queue.Declare(queue=queue, auto_delete=True))
        self.assertIsNone(await channel.get(queue))
        await channel.call(spec.Basic.Consume(queue=queue))
        await channel.close()
        await self.gone(queue)

    async def test_an_unused_queue_expires(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_expires=1000)
        used = await self.queue(channel, x_expires=1000)
        await channel.call(spec.Basic.Consume(queue=used))
        await self.pause(1.6)
        await self.gone(queue)
        self.assertEqual(await self.declared(channel, used), (0, 1))


class Exclusive(Contract):
    """Queues of one connection alone."""

    async def exclusive(self) -> tuple[Channel, str]:
        """Return a channel and a queue that is exclusive to its connection."""
        channel = await self.channel()
        queue = self.name()
        await channel.call(spec.Queue.Declare(queue=queue, exclusive=True))
        return channel, queue

    async def test_other_connections_may_do_nothing_to_it(self) -> None:
        _, queue = await self.exclusive()
        for method in (
            spec.Queue.Declare(queue=queue),
            spec.Queue.Declare(queue=queue, exclusive=True),
            spec.Queue.Declare(queue=queue, passive=True),
            spec.Queue.Bind(queue=queue, exchange="amq.direct"),
            spec.Queue.Purge(queue=queue),
            spec.Queue.Delete(queue=queue),
            spec.Basic.Get(queue=queue),
            spec.Basic.Consume(queue=queue),
        ):
            await self.closes_channel(await self.channel(), method, 405, locked(queue))

    async def test_other_connections_may_not_take_its_bindings_away(self) -> None:
        channel, queue = await self.exclusive()
        await channel.call(spec.Queue.Bind(queue=queue, exchange="amq.direct", routing_key="k"))
        unbind = spec.Queue.Unbind(queue=queue, exchange="amq.direct", routing_key="k")
        await self.closes_channel(await self.channel(), unbind, 405, locked(queue))

    async def test_other_connections_may_take_bindings_away_that_are_not_there(self) -> None:
        _, queue = await self.exclusive()
        other = await self.channel()
        unbind = spec.Queue.Unbind(queue=queue, exchange="amq.direct", routing_key="k")
        await other.call(unbind)

    async def test_other_connections_may_publish_to_it(self) -> None:
        channel, queue = await self.exclusive()
        await channel.call(spec.Basic.Consume(queue=queue))
        publish(await self.channel(), queue, b"one")
        self.assertEqual((await channel.next(spec.Basic.Deliver)).body, b"one")

    async def test_another_channel_of_its_connection_may_do_all(self) -> None:
        channel, queue = await self.exclusive()
        other = await channel.client.open_channel()
        await other.call(spec.Queue.Declare(queue=queue, passive=True))
        await other.call(spec.Queue.Declare(queue=queue, exclusive=True))
        await other.call(spec.Queue.Delete(queue=queue))

    async def test_what_is_exclusive_can_not_be_declared_otherwise(self) -> None:
        channel, queue = await self.exclusive()
        declare = spec.Queue.Declare(queue=queue)
        await self.closes_channel(channel, declare, 405, locked(queue))

    async def test_what_is_not_exclusive_can_not_become_it(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        declare = spec.Queue.Declare(queue=queue, exclusive=True)
        await self.closes_channel(channel, declare, 405, locked(queue))

    async def test_it_goes_with_its_connection(self) -> None:
        channel, queue = await self.exclusive()
        await channel.client.close()
        text = f"NOT_FOUND - no queue '{queue}' in vhost '/'"
        passive = spec.Queue.Declare(queue=queue, passive=True)
        await self.closes_channel(await self.channel(), passive, 404, text)


class Binding(Contract):
    """queue.bind and queue.unbind."""

    async def test_a_binding_that_is_there_is_agreed_to_and_is_one(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        bind: tuple[Any, ...] = (0, queue, "amq.direct", queue)
        await channel.call(spec.Queue.Bind(*bind))
        await channel.call(spec.Queue.Bind(*bind))
        channel.publish("amq.direct", queue, b"one")
        await channel.call(spec.Queue.Unbind(*bind))
        channel.publish("amq.direct", queue, b"two")
        self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_unbinding_what_is_not_there_is_agreed_to(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        for name, exchange in (
            (queue, "amq.direct"),
            (queue, "nowhere"),
            ("nowhere", "amq.direct"),
            ("nowhere", "nowhere"),
        ):
            await channel.call(spec.Queue.Unbind(0, name, exchange, "key"))

    async def test_binding_to_what_is_not_there_is_refused_for_the_exchange_first(self) -> None:
        queue = await self.queue(await self.channel())
        for name, exchange, missing in (
            (queue, "nowhere", "exchange 'nowhere'"),
            ("nothing", "amq.direct", "queue 'nothing'"),
            ("nothing", "nowhere", "exchange 'nowhere'"),
        ):
            text = f"NOT_FOUND - no {missing} in vhost '/'"
            bind = spec.Queue.Bind(0, name, exchange, "key")
            await self.closes_channel(await self.channel(), bind, 404, text)

    async def test_nothing_is_bound_to_the_default_exchange(self) -> None:
        queue = await self.queue(await self.channel())
        text = "ACCESS_REFUSED - operation not permitted on the default exchange"
        for method in (spec.Queue.Bind(0, queue, "", "key"), spec.Queue.Unbind(0, queue, "", "k")):
            await self.closes_channel(await self.channel(), method, 403, text)

    async def test_an_empty_key_is_the_name_where_the_queue_has_an_empty_name(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Queue.Bind(0, "", "amq.direct", ""))
        channel.publish("amq.direct", queue, b"one")
        self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_a_deleted_queue_takes_its_bindings_along(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Queue.Bind(0, queue, "amq.direct", queue))
        await channel.call(spec.Queue.Delete(queue=queue))
        await channel.call(spec.Queue.Declare(queue=queue))
        channel.publish("amq.direct", queue, b"one")
        self.assertEqual(await self.drain(queue, channel), [])
