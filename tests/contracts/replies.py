"""Direct reply-to: replies without a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, spec

from tests.contract import Contract

if TYPE_CHECKING:
    from tests.contract_client import Channel

REPLY_TO = "amq.rabbitmq.reply-to"


class Replies(Contract):
    """amq.rabbitmq.reply-to."""

    async def client(self) -> tuple[Channel, str]:
        """Return a channel that waits for replies, and where to send them."""
        channel = await self.channel()
        consume = spec.Basic.Consume(queue=REPLY_TO, consumer_tag="me", no_ack=True)
        await channel.call(consume)
        queue = await self.queue(channel)
        properties = BasicProperties(reply_to=REPLY_TO, correlation_id="c")
        channel.publish("", queue, b"request", properties)
        got = await channel.get(queue)
        assert got is not None
        self.assertEqual(got.properties.correlation_id, "c")
        return channel, got.properties.reply_to

    async def test_a_request_has_a_name_to_reply_to(self) -> None:
        _, first = await self.client()
        _, second = await self.client()
        self.assertRegex(first, r"^amq\.rabbitmq\.reply-to\.[\w+/=-]+\.[\w+/=-]+$")
        self.assertNotEqual(first, second)

    async def test_replies_come_to_the_one_who_asked_all_with_the_next_delivery_tag(self) -> None:
        client, reply_to = await self.client()
        server = await self.channel()
        for body in (b"1", b"2"):
            server.publish("", reply_to, body, BasicProperties(type="t"))
            reply = await client.next(spec.Basic.Deliver)
            self.assertEqual((reply.body, reply.properties.type), (body, "t"))
            method = reply.method
            self.assertEqual((method.exchange, method.routing_key), ("", reply_to))
            self.assertEqual((method.consumer_tag, method.delivery_tag), ("me", 2))

    async def test_replies_are_confirmed(self) -> None:
        client, reply_to = await self.client()
        server = await self.channel()
        await server.call(spec.Confirm.Select())
        server.publish("", reply_to, b"one")
        self.assertEqual(await server.confirms(1), {1: True})
        await client.next(spec.Basic.Deliver)

    async def test_replies_do_not_wait_for_the_end_of_a_transaction(self) -> None:
        client, reply_to = await self.client()
        server = await self.channel()
        await server.call(spec.Tx.Select())
        server.publish("", reply_to, b"one")
        await client.next(spec.Basic.Deliver)
        await server.call(spec.Tx.Rollback())

    async def test_a_copy_may_be_a_reply(self) -> None:
        client, reply_to = await self.client()
        server = await self.channel()
        properties = BasicProperties(headers={"CC": [reply_to]})
        server.publish("", "nowhere", b"one", properties)
        reply = await client.next(spec.Basic.Deliver)
        self.assertEqual(reply.method.routing_key, "nowhere")

    async def test_a_mandatory_reply_comes_and_is_returned_too(self) -> None:
        client, reply_to = await self.client()
        server = await self.channel()
        server.publish("", reply_to, b"one", mandatory=True)
        await client.next(spec.Basic.Deliver)
        returned = await server.next(spec.Basic.Return)
        self.assertEqual(returned.method.routing_key, reply_to)

    async def test_nobody_gets_replies_after_the_consumer(self) -> None:
        for method in (spec.Basic.Cancel("me"), spec.Channel.Close(200, "", 0, 0)):
            client, reply_to = await self.client()
            await client.call(method)
            server = await self.channel()
            server.publish("", reply_to, b"one", mandatory=True)
            await server.next(spec.Basic.Return)
            self.assertEqual(client.received, [])

    async def test_names_that_nobody_was_given_reach_nobody(self) -> None:
        client, reply_to = await self.client()
        for name in (REPLY_TO, f"{REPLY_TO}.odd", f"{REPLY_TO}.a.b.c", f"{reply_to}x"):
            client.publish("", name, b"one", mandatory=True)
            returned = await client.next(spec.Basic.Return)
            self.assertEqual(returned.method.reply_text, "NO_ROUTE")

    async def test_names_that_nobody_was_given_can_not_be_declared(self) -> None:
        _, reply_to = await self.client()
        for name in (f"{REPLY_TO}.odd", f"{reply_to}x"):
            for passive in (True, False):
                text = f"NOT_FOUND - no queue '{name}' in vhost '/'"
                declare = spec.Queue.Declare(queue=name, passive=passive)
                await self.closes_channel(await self.channel(), declare, 404, text)

    async def test_a_reply_to_of_anybody_else_is_passed_on(self) -> None:
        client, reply_to = await self.client()
        queue = await self.queue(client)
        for name in ("queue", f"{REPLY_TO}-odd", reply_to):
            client.publish("", queue, b"one", BasicProperties(reply_to=name))
            got = await client.get(queue)
            assert got is not None
            self.assertEqual(got.properties.reply_to, name)

    async def test_replies_can_not_be_acknowledged(self) -> None:
        channel = await self.channel()
        text = "PRECONDITION_FAILED - reply consumer cannot acknowledge"
        await self.closes_channel(channel, spec.Basic.Consume(queue=REPLY_TO), 406, text)

    async def test_a_channel_has_one_consumer_of_replies(self) -> None:
        client, _ = await self.client()
        consume = spec.Basic.Consume(queue=REPLY_TO, no_ack=True)
        text = "PRECONDITION_FAILED - reply consumer already set"
        await self.closes_channel(client, consume, 406, text)

    async def test_requests_need_a_consumer_of_replies(self) -> None:
        channel = await self.channel()
        send = spec.Basic.Publish(0, "", "nowhere")
        channel.send(send)
        channel.send_content(b"", BasicProperties(reply_to=REPLY_TO))
        text = "PRECONDITION_FAILED - fast reply consumer does not exist"
        self.assert_refused(await channel.refusal(), 406, text, send)

    async def test_it_can_be_declared_and_deleted_but_is_no_queue(self) -> None:
        channel = await self.channel()
        declared = await channel.call(spec.Queue.Declare(queue=REPLY_TO, durable=True))
        self.assertEqual((declared.message_count, declared.consumer_count), (0, 1))
        await channel.call(spec.Queue.Delete(queue=REPLY_TO))
        await channel.call(spec.Queue.Unbind(0, REPLY_TO, "amq.direct", "key"))
        text = f"NOT_FOUND - no queue '{REPLY_TO}' in vhost '/'"
        for method in (
            spec.Basic.Get(queue=REPLY_TO, no_ack=True),
            spec.Queue.Purge(queue=REPLY_TO),
            spec.Queue.Bind(0, REPLY_TO, "amq.direct", "key"),
        ):
            await self.closes_channel(await self.channel(), method, 404, text)

    async def test_a_declaration_tells_whether_anybody_waits_for_a_reply(self) -> None:
        client, reply_to = await self.client()
        server = await self.channel()
        declare = spec.Queue.Declare(queue=reply_to, passive=True)
        declared = await server.call(declare)
        self.assertEqual((declared.message_count, declared.consumer_count), (0, 1))
        await client.call(spec.Basic.Cancel("me"))
        text = f"NOT_FOUND - no queue '{reply_to}' in vhost '/'"
        await self.closes_channel(server, declare, 404, text)
