"""Transactions: what is published and acknowledged between tx.select and tx.commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import spec

from tests.contract import Contract
from tests.contracts.consuming import publish

if TYPE_CHECKING:
    from tests.contract_client import Channel


class Transactions(Contract):
    """tx.select, tx.commit and tx.rollback."""

    async def selected(self) -> tuple[Channel, str]:
        """Return a channel in a transaction, and a queue."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await channel.call(spec.Tx.Select())
        return channel, queue

    async def test_messages_are_published_when_they_are_committed(self) -> None:
        channel, queue = await self.selected()
        publish(channel, queue, b"1", b"2")
        self.assertEqual(await self.drain(queue, channel), [])
        await channel.call(spec.Tx.Commit())
        self.assertEqual(await self.drain(queue, channel), [b"1", b"2"])

    async def test_messages_are_dropped_when_they_are_rolled_back(self) -> None:
        channel, queue = await self.selected()
        publish(channel, queue, b"1")
        await channel.call(spec.Tx.Rollback())
        publish(channel, queue, b"2")
        await channel.call(spec.Tx.Commit())
        self.assertEqual(await self.drain(queue, channel), [b"2"])

    async def test_messages_are_dropped_when_the_channel_ends(self) -> None:
        channel, queue = await self.selected()
        publish(channel, queue, b"1")
        await channel.close()
        self.assertEqual(await self.drain(queue), [])

    async def test_acknowledgements_hold_when_they_are_committed(self) -> None:
        for committed, left in ((True, []), (False, [b"1"])):
            channel, queue = await self.selected()
            publish(await channel.client.open_channel(), queue, b"1")
            await channel.call(spec.Basic.Consume(queue=queue))
            await channel.next(spec.Basic.Deliver)
            channel.send(spec.Basic.Ack(1))
            if committed:
                await channel.call(spec.Tx.Commit())
            await channel.close()
            self.assertEqual(await self.drain(queue), left)

    async def test_acknowledgements_can_be_given_again_when_rolled_back(self) -> None:
        channel, queue = await self.selected()
        publish(channel, queue, b"1")
        await channel.call(spec.Tx.Commit())
        await channel.get(queue, no_ack=False)
        channel.send(spec.Basic.Ack(1))
        await channel.call(spec.Tx.Rollback())
        channel.send(spec.Basic.Reject(1, requeue=True))
        await channel.call(spec.Tx.Commit())
        self.assertEqual(await self.drain(queue, channel), [b"1"])

    async def test_an_unknown_delivery_tag_is_refused_at_once(self) -> None:
        channel, _ = await self.selected()
        text = "PRECONDITION_FAILED - unknown delivery tag 3"
        await self.closes_channel(channel, spec.Basic.Ack(3), 406, text)

    async def test_an_unknown_exchange_is_refused_at_once(self) -> None:
        channel, _ = await self.selected()
        send = spec.Basic.Publish(0, "nowhere", "key")
        channel.send(send)
        channel.send_content(b"")
        text = "NOT_FOUND - no exchange 'nowhere' in vhost '/'"
        self.assert_refused(await channel.refusal(), 404, text, send)

    async def test_mandatory_messages_come_back_when_they_are_committed(self) -> None:
        channel, _ = await self.selected()
        channel.publish("", "nowhere", b"one", mandatory=True)
        await self.settle(channel)
        self.assertEqual(channel.received, [])
        await channel.call(spec.Tx.Commit())
        returned = await channel.next(spec.Basic.Return)
        self.assertEqual(returned.body, b"one")

    async def test_messages_go_where_they_went_when_they_were_published(self) -> None:
        channel, queue = await self.selected()
        other = await channel.client.open_channel()
        exchange = self.name()
        await other.call(spec.Exchange.Declare(exchange=exchange, type="direct"))
        await other.call(spec.Queue.Bind(queue=queue, exchange=exchange, routing_key="key"))
        channel.publish(exchange, "key", b"1")
        publish(channel, queue, b"2")
        await self.settle(channel)
        await other.call(spec.Exchange.Delete(exchange=exchange))
        await channel.call(spec.Tx.Commit())
        self.assertEqual(await self.drain(queue, channel), [b"1", b"2"])

    async def test_queue_that_was_deleted_gets_nothing(self) -> None:
        channel, queue = await self.selected()
        other = await channel.client.open_channel()
        channel.publish("", queue, b"1", mandatory=True)
        await self.settle(channel)
        await other.call(spec.Queue.Delete(queue=queue))
        await channel.call(spec.Tx.Commit())
        returned = await channel.next(spec.Basic.Return)
        self.assertEqual(returned.body, b"1")

    async def test_a_commit_of_which_a_queue_refuses_some_is_refused(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_length=1, x_overflow="reject-publish")
        await channel.call(spec.Tx.Select())
        publish(channel, queue, b"1", b"2")
        text = "PRECONDITION_FAILED - partial tx completion"
        await self.closes_channel(channel, spec.Tx.Commit(), 406, text)
        self.assertEqual(await self.drain(queue), [b"1"])

    async def test_selecting_again_is_agreed_to(self) -> None:
        channel, queue = await self.selected()
        publish(channel, queue, b"1")
        await channel.call(spec.Tx.Select())
        await channel.call(spec.Tx.Commit())
        self.assertEqual(await self.drain(queue, channel), [b"1"])

    async def test_nothing_is_committed_where_nothing_was_selected(self) -> None:
        for method in (spec.Tx.Commit(), spec.Tx.Rollback()):
            channel = await self.channel()
            text = "PRECONDITION_FAILED - channel is not transactional"
            await self.closes_channel(channel, method, 406, text)

    async def test_confirms_can_not_begin_in_a_transaction(self) -> None:
        channel, _ = await self.selected()
        text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
        await self.closes_channel(channel, spec.Confirm.Select(), 406, text)
