"""Durability: what is there again after the broker was restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, spec

from tests.contract import Contract
from tests.contract_client import ChannelRefused

if TYPE_CHECKING:
    from pika.amqp_object import Method

    from tests.contract_client import Channel

PERSISTENT = BasicProperties(delivery_mode=2)


class Durability(Contract):
    """A broker that is restarted."""

    timeout = 120

    async def restarted(self, channel: Channel) -> Channel:
        """Restart the broker; return a channel of a new connection."""
        await channel.client.close()
        await self.restart()
        return await self.channel()

    async def is_there(self, passive: Method) -> bool:
        """Tell whether a passive declaration finds anything."""
        try:
            await (await self.channel()).call(passive)
        except ChannelRefused:
            return False
        return True

    async def test_what_is_durable_is_there_again_and_nothing_else(self) -> None:
        channel = await self.channel()
        queues, exchanges = {}, {}
        for durable in (True, False):
            queues[durable], exchanges[durable] = self.name(), self.name("x")
            arguments = {"x-max-length": 5}
            await channel.call(
                spec.Queue.Declare(queue=queues[durable], durable=durable, arguments=arguments)
            )
            await channel.call(
                spec.Exchange.Declare(exchange=exchanges[durable], type="topic", durable=durable)
            )
        for queue in queues.values():
            for exchange in exchanges.values():
                await channel.call(spec.Queue.Bind(0, queue, exchange, "key"))
        await channel.call(spec.Exchange.Bind(0, "amq.fanout", exchanges[True], "on"))
        await channel.call(spec.Queue.Bind(0, queues[True], "amq.fanout"))

        channel = await self.restarted(channel)
        for durable in (True, False):
            for passive in (
                spec.Queue.Declare(queue=queues[durable], passive=True),
                spec.Exchange.Declare(exchange=exchanges[durable], passive=True),
            ):
                self.assertEqual(await self.is_there(passive), durable)
        for key in ("key", "on", "other"):
            channel.publish(exchanges[True], key, key.encode())
        self.assertEqual(await self.drain(queues[True], channel), [b"key", b"on"])
        arguments = {"x-max-length": 5}
        await channel.call(
            spec.Queue.Declare(queue=queues[True], durable=True, arguments=arguments)
        )
        await channel.call(
            spec.Exchange.Declare(exchange=exchanges[True], type="topic", durable=True)
        )

    async def test_persistent_messages_of_durable_queues_are_there_again_in_order(self) -> None:
        channel = await self.channel()
        await channel.call(spec.Confirm.Select())
        queue, other = self.name(), self.name()
        for name in (queue, other):
            await channel.call(spec.Queue.Declare(queue=name, durable=True))
        headers = {"a": 1, "b": [True, None]}
        whole = BasicProperties(delivery_mode=2, headers=headers, message_id="m", priority=3)
        channel.publish("", queue, b"first", whole)
        channel.publish("", queue, b"transient", BasicProperties(delivery_mode=1))
        channel.publish("", queue, b"neither")
        for number in range(3):
            channel.publish("", queue, b"%d" % number, PERSISTENT)
        channel.publish("", other, b"acknowledged", PERSISTENT)
        channel.publish("", other, b"held", PERSISTENT)
        channel.publish("", other, b"a" * 300_000, PERSISTENT)
        await channel.confirms(9)
        for _ in range(2):
            self.assertIsNotNone(await channel.get(other, no_ack=False))
        channel.send(spec.Basic.Ack(1))
        await channel.close()

        channel = await self.restarted(channel)
        first = await channel.get(queue)
        assert first is not None
        self.assertEqual((first.body, first.properties), (b"first", whole))
        self.assertEqual((first.method.exchange, first.method.routing_key), ("", queue))
        self.assertEqual(await self.drain(queue, channel), [b"0", b"1", b"2"])
        held = await channel.get(other)
        assert held is not None
        self.assertEqual((held.body, held.method.redelivered), (b"held", True))
        self.assertEqual(await self.drain(other, channel), [b"a" * 300_000])

    async def test_messages_may_expire_while_the_broker_is_away(self) -> None:
        channel = await self.channel()
        await channel.call(spec.Confirm.Select())
        queue = self.name()
        await channel.call(spec.Queue.Declare(queue=queue, durable=True))
        expiring = BasicProperties(delivery_mode=2, expiration="200")
        channel.publish("", queue, b"old", expiring)
        channel.publish("", queue, b"new", PERSISTENT)
        await channel.confirms(2)
        channel = await self.restarted(channel)
        await self.pause(0.4)
        self.assertEqual(await self.drain(queue, channel), [b"new"])

    async def test_connections_are_told_that_the_broker_ends(self) -> None:
        channel = await self.channel()
        await self.restart()
        refused = await channel.refusal()
        text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
        self.assert_refused(refused, 320, text)
