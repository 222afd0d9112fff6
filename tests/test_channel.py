"""`netdemo.amqp.channel`: calls, deliveries, and every way to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, spec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from zope.interface.verify import verifyObject

from netdemo.amqp.interfaces import IChannel
from netdemo.amqp.message import Message
from netdemo.amqp.topology import Binding, Exchange, Queue, Topology
from netdemo.errors import ChannelClosed, ChannelClosedByUs, ChannelLost
from tests.peer import Peer, PeerTestCase

if TYPE_CHECKING:
    from netdemo.amqp.message import Delivery

NOT_FOUND = "NOT_FOUND - no queue 'x' in vhost '/'"


class ChannelTestCase(PeerTestCase):
    """A test with an open channel, number 1."""

    def setUp(self) -> None:
        self.peer = Peer().shake_hands()
        self.channel = self.peer.open_channel()


class CallTests(ChannelTestCase):
    """Methods that the broker answers."""

    def test_provides_its_interface(self) -> None:
        verifyObject(IChannel, self.channel)

    def test_declared_queue_fires_with_its_name(self) -> None:
        declaring = self.channel.queue_declare(Queue(""))
        self.assertTrue(self.peer.expect(spec.Queue.Declare).durable)
        self.peer.send(spec.Queue.DeclareOk("amq.gen-1", 0, 0), channel=1)
        self.assertEqual(self.successResultOf(declaring), "amq.gen-1")

    def test_deleted_queue_fires_when_the_broker_has_answered(self) -> None:
        deleting = self.channel.queue_delete("q")
        delete = self.peer.expect(spec.Queue.Delete)
        self.assertEqual((delete.queue, delete.if_unused, delete.if_empty), ("q", False, False))
        self.assertNoResult(deleting)
        self.peer.send(spec.Queue.DeleteOk(3), channel=1)
        self.assertIsNone(self.successResultOf(deleting))

    def test_topology_is_declared_in_order(self) -> None:
        topology = Topology(
            exchanges=(Exchange("e", "topic"),),
            queues=(Queue("q", durable=False),),
            bindings=(Binding("e", "q", "k"), Binding("e", "f", to_exchange=True)),
        )
        declaring = Deferred.fromCoroutine(topology.declare(self.channel))
        self.assertEqual(self.peer.expect(spec.Exchange.Declare).type, "topic")
        self.peer.send(spec.Exchange.DeclareOk(), channel=1)
        self.assertFalse(self.peer.expect(spec.Queue.Declare).durable)
        self.peer.send(spec.Queue.DeclareOk("q", 0, 0), channel=1)
        self.assertEqual(self.peer.expect(spec.Queue.Bind).routing_key, "k")
        self.peer.send(spec.Queue.BindOk(), channel=1)
        self.assertEqual(self.peer.expect(spec.Exchange.Bind).destination, "f")
        self.assertNoResult(declaring)
        self.peer.send(spec.Exchange.BindOk(), channel=1)
        self.successResultOf(declaring)

    def test_refused_call_fails_in_the_brokers_words(self) -> None:
        declaring = self.channel.queue_declare(Queue("x", passive=True))
        self.peer.send(spec.Channel.Close(404, NOT_FOUND, 50, 10), channel=1)
        error = self.failureResultOf(declaring, ChannelClosed).value
        self.assertEqual((error.reply_code, error.reply_text), (404, NOT_FOUND))

    def test_call_on_an_ended_channel_fails_with_the_reason(self) -> None:
        self.peer.send(spec.Channel.Close(404, NOT_FOUND, 50, 10), channel=1)
        error = self.failureResultOf(self.channel.qos(1), ChannelClosed).value
        self.assertEqual(error.reply_code, 404)

    def test_call_that_cannot_be_encoded_fails_alone(self) -> None:
        self.failureResultOf(self.channel.queue_declare(Queue("x" * 256)))
        declaring = self.channel.queue_declare(Queue("y"))
        self.peer.received()
        self.peer.send(spec.Queue.DeclareOk("y", 0, 0), channel=1)
        self.successResultOf(declaring)

    def test_cancelled_call_may_still_be_answered(self) -> None:
        declaring = self.channel.queue_declare(Queue("x"))
        declaring.cancel()
        self.failureResultOf(declaring, CancelledError)
        self.peer.send(spec.Queue.DeclareOk("x", 0, 0), channel=1)
        self.peer.send(spec.Channel.Close(404, NOT_FOUND, 50, 10), channel=1)
        self.successResultOf(self.channel.closed)

    def test_cancelled_opening_closes_the_channel(self) -> None:
        opening = self.peer.session.open_channel()
        self.peer.received()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.peer.send(spec.Channel.OpenOk(), channel=2)
        self.peer.expect(spec.Channel.Close)


class ConsumingTests(ChannelTestCase):
    """Deliveries, and answers to them."""

    def setUp(self) -> None:
        super().setUp()
        self.deliveries: list[Delivery] = []
        self.cancelled: list[str] = []
        self.consuming = self.channel.consume(
            "q", self.deliveries.append, lambda: self.cancelled.append("q")
        )
        self.tag = self.peer.expect(spec.Basic.Consume).consumer_tag
        self.peer.send(spec.Basic.ConsumeOk(self.tag), channel=1)

    def deliver(self, body: bytes = b"body") -> None:
        """Send one delivery, with tag 7."""
        self.peer.send_content(
            spec.Basic.Deliver(self.tag, 7, redelivered=True, exchange="e", routing_key="k"),
            BasicProperties(message_id="m", headers={"a": 1}),
            body,
        )

    def test_fires_with_the_consumer_tag(self) -> None:
        self.assertEqual(self.successResultOf(self.consuming), self.tag)

    def test_delivery_has_all_that_was_sent(self) -> None:
        self.deliver()
        (delivery,) = self.deliveries
        self.assertEqual(delivery.message.body, b"body")
        self.assertEqual(delivery.message.message_id, "m")
        self.assertEqual(delivery.message.headers, {"a": 1})
        self.assertIsNone(delivery.message.delivery_mode)
        self.assertEqual((delivery.exchange, delivery.routing_key), ("e", "k"))
        self.assertEqual((delivery.redelivered, delivery.delivery_tag), (True, 7))

    def test_empty_body_is_a_delivery(self) -> None:
        self.deliver(b"")
        self.assertEqual(self.deliveries[0].message.body, b"")

    def test_ack_and_nack_name_the_delivery(self) -> None:
        self.deliver()
        self.channel.ack(7)
        self.assertEqual(self.peer.expect(spec.Basic.Ack).delivery_tag, 7)
        self.channel.nack(8, requeue=False)
        nack = self.peer.expect(spec.Basic.Nack)
        self.assertEqual((nack.delivery_tag, nack.requeue), (8, False))

    def test_without_acks_the_broker_is_told_so(self) -> None:
        self.channel.consume("q", self.deliveries.append, lambda: None, no_ack=True)
        self.assertTrue(self.peer.expect(spec.Basic.Consume).no_ack)

    def test_what_was_on_its_way_to_a_cancelled_consumer_is_refused(self) -> None:
        self.channel.cancel(self.tag)
        self.peer.received()
        self.deliver()
        nack = self.peer.expect(spec.Basic.Nack)
        self.assertEqual((nack.delivery_tag, nack.requeue), (7, True))

    def test_without_acks_it_is_not_since_that_would_cost_the_channel(self) -> None:
        self.channel.consume("q", self.deliveries.append, lambda: None, no_ack=True)
        self.tag = self.peer.expect(spec.Basic.Consume).consumer_tag
        self.peer.send(spec.Basic.ConsumeOk(self.tag), channel=1)
        self.channel.cancel(self.tag)
        self.peer.expect(spec.Basic.Cancel)
        self.deliver()
        self.assertEqual((self.peer.received(), self.deliveries), ([], []))

    def test_ack_on_an_ended_channel_is_nothing(self) -> None:
        self.peer.send(spec.Channel.Close(404, NOT_FOUND, 50, 10), channel=1)
        self.peer.received()
        self.channel.ack(7)
        self.channel.nack(7, requeue=True)
        self.assertEqual(self.peer.received(), [])

    def test_cancel_by_the_broker_is_told(self) -> None:
        self.peer.send(spec.Basic.Cancel(self.tag), channel=1)
        self.assertEqual(self.cancelled, ["q"])

    def test_cancel_by_us_is_answered_and_not_told(self) -> None:
        cancelling = self.channel.cancel(self.tag)
        self.peer.expect(spec.Basic.Cancel)
        self.peer.send(spec.Basic.CancelOk(self.tag), channel=1)
        self.successResultOf(cancelling)
        self.assertEqual(self.cancelled, [])

    def test_cancel_of_nothing_fires_at_once(self) -> None:
        self.successResultOf(self.channel.cancel("no such tag"))


class EndingTests(ChannelTestCase):
    """`closed` fires once, with the reason."""

    def test_lost_connection(self) -> None:
        self.peer.wire.end(ConnectionLost())
        reason = self.successResultOf(self.channel.closed)
        self.assertIsInstance(reason, ChannelLost)
        self.assertIn("the connection was lost", str(reason))

    def test_closed_by_us(self) -> None:
        closing = self.channel.close()
        self.peer.expect(spec.Channel.Close)
        self.assertNoResult(closing)
        self.peer.send(spec.Channel.CloseOk(), channel=1)
        self.successResultOf(closing)
        self.assertIsInstance(self.successResultOf(self.channel.closed), ChannelClosedByUs)

    def test_closed_by_us_for_a_reason(self) -> None:
        reason = ChannelClosed("because")
        closing = self.channel.close(reason)
        self.peer.send(spec.Channel.CloseOk(), channel=1)
        self.successResultOf(closing)
        self.assertIs(self.successResultOf(self.channel.closed), reason)

    def test_closing_twice_sends_it_once(self) -> None:
        closing = [self.channel.close(), self.channel.close()]
        self.peer.expect(spec.Channel.Close)
        self.assertEqual(self.peer.received(), [])
        self.peer.send(spec.Channel.CloseOk(), channel=1)
        for each in closing:
            self.successResultOf(each)

    def test_publishing_on_an_ended_channel_raises_the_reason(self) -> None:
        self.peer.send(spec.Channel.Close(404, NOT_FOUND, 60, 40), channel=1)
        with self.assertRaises(ChannelClosed) as caught:
            self.channel.publish(Message(b""), "", "x", False)
        self.assertEqual(caught.exception.reply_code, 404)

    def test_publishing_while_the_connection_ends_raises_that_it_is_lost(self) -> None:
        raised: list[Exception] = []
        second = self.peer.open_channel()

        def publish(_: object) -> None:  # the first channel is told of the end before the second
            try:
                second.publish(Message(b""), "", "x", False)
            except ChannelClosed as error:
                raised.append(error)

        self.channel.closed.addCallback(publish)
        self.peer.wire.end(ConnectionLost())
        self.assertIsInstance(raised[0], ChannelLost)
        self.assertIn("the connection was lost", str(raised[0]))

    def test_answering_while_the_connection_ends_is_nothing(self) -> None:
        second = self.peer.open_channel()

        def answer(_: object) -> None:
            second.ack(1)
            second.nack(2, requeue=True)

        self.channel.closed.addCallback(answer)
        self.peer.wire.end(ConnectionLost())
        self.successResultOf(self.channel.closed)
