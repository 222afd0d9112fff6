"""`netdemo.amqp.consumer`: the handler's outcome decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, spec
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from netdemo.amqp.consumer import Consumer, Reject
from netdemo.amqp.interfaces import IChannelUser
from netdemo.errors import ChannelLost, ConnectionClosed, ConsumerCancelled
from tests.peer import Peer, PeerTestCase

if TYPE_CHECKING:
    from netdemo.amqp.consumer import Handler
    from netdemo.amqp.message import Delivery


class Consuming:
    """A consumer of ``q`` on a channel of a scripted peer."""

    def __init__(self, handler: Handler, prefetch: int = 5, accepted: bool = True) -> None:
        self.peer = Peer().shake_hands()
        self.consumer = Consumer("q", handler, prefetch=prefetch)
        self.number = 0
        self.attach()
        if accepted:
            self.accept()

    def attach(self) -> None:
        """Give the consumer a channel, up to where it asks to consume."""
        self.channel = self.peer.open_channel()
        self.number += 1
        self.attaching = Deferred.fromCoroutine(self.consumer.attach(self.channel))
        self.qos = self.peer.expect(spec.Basic.Qos)
        self.peer.send(spec.Basic.QosOk(), channel=self.number)
        self.tag = self.peer.expect(spec.Basic.Consume).consumer_tag

    def accept(self) -> None:
        """Let it consume."""
        self.peer.send(spec.Basic.ConsumeOk(self.tag), channel=self.number)

    def attach_again(self) -> None:
        """Take the channel away, and give it another."""
        self.consumer.detach(ChannelLost("gone"))
        self.attach()
        self.accept()

    def deliver(self, tag: int = 1, redelivered: bool = False) -> None:
        """Send one delivery."""
        method = spec.Basic.Deliver(self.tag, tag, redelivered, "", "q")
        self.peer.send_content(method, BasicProperties(), b"body", channel=self.number)

    def answers(self) -> list[object]:
        """Return what the client has answered since this was asked last."""
        return [each.method for each in self.peer.received()]


class OutcomeTests(PeerTestCase):
    """How a handler ends, and what the broker is told."""

    def test_provides_its_interface(self) -> None:
        verifyObject(IChannelUser, Consumer("q", lambda _: None))

    def test_prefetch_is_set_before_consuming(self) -> None:
        on = Consuming(lambda _: None, prefetch=7)
        self.assertEqual((on.qos.prefetch_count, on.qos.global_qos), (7, False))
        self.successResultOf(on.attaching)
        self.successResultOf(on.consumer.when_consuming())

    def test_prefetch_without_a_bound_is_refused(self) -> None:
        self.assertRaises(ValueError, Consumer, "q", lambda _: None, prefetch=0)

    def test_name_that_is_too_long_is_refused(self) -> None:
        Consumer("q" * 255, lambda _: None)
        self.assertRaises(ValueError, Consumer, "q" * 256, lambda _: None)

    def test_returned_none_acks(self) -> None:
        seen: list[Delivery] = []
        on = Consuming(seen.append)
        on.deliver(3)
        (ack,) = on.answers()
        self.assertIsInstance(ack, spec.Basic.Ack)
        self.assertEqual(ack.delivery_tag, 3)  # type: ignore[attr-defined]
        self.assertEqual(seen[0].message.body, b"body")

    def test_deferred_acks_when_it_fires(self) -> None:
        handling: Deferred[None] = Deferred()
        on = Consuming(lambda _: handling)
        on.deliver()
        self.assertEqual(on.answers(), [])
        handling.callback(None)
        self.assertIsInstance(on.answers()[0], spec.Basic.Ack)

    def test_coroutine_acks_when_it_returns(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def handler(_: Delivery) -> None:
            await waiting

        on = Consuming(handler)
        on.deliver()
        self.assertEqual(on.answers(), [])
        waiting.callback(None)
        self.assertIsInstance(on.answers()[0], spec.Basic.Ack)

    def test_reject_drops_or_requeues(self) -> None:
        for requeue in (False, True):

            def handler(_: Delivery, requeue: bool = requeue) -> None:
                raise Reject(requeue)

            on = Consuming(handler)
            on.deliver(4)
            (nack,) = on.answers()
            self.assertIsInstance(nack, spec.Basic.Nack)
            self.assertEqual(nack.delivery_tag, 4)  # type: ignore[attr-defined]
            self.assertEqual(nack.requeue, requeue)  # type: ignore[attr-defined]

    def test_exception_requeues_once_then_rejects_and_is_logged(self) -> None:
        on = Consuming(lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
        on.deliver(1)
        on.deliver(2, redelivered=True)
        first, second = on.answers()
        self.assertEqual((first.requeue, second.requeue), (True, False))  # type: ignore[attr-defined]
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_outcome_after_the_channel_has_ended_is_nothing(self) -> None:
        handling: Deferred[None] = Deferred()
        on = Consuming(lambda _: handling)
        on.deliver()
        on.peer.send(spec.Channel.Close(404, "NOT_FOUND", 0, 0), channel=1)
        on.answers()
        handling.callback(None)
        self.assertEqual(on.answers(), [])


class EndingTests(PeerTestCase):
    """Cancelled by the broker, drained, and taken up again."""

    def test_cancel_by_the_broker_ends_the_channel_with_that_reason(self) -> None:
        on = Consuming(lambda _: None)
        on.peer.send(spec.Basic.Cancel(on.tag), channel=1)
        on.peer.expect(spec.Channel.Close)
        on.peer.send(spec.Channel.CloseOk(), channel=1)
        self.assertIsInstance(self.successResultOf(on.channel.closed), ConsumerCancelled)

    def test_drained_when_the_last_handler_is_done(self) -> None:
        handling: Deferred[None] = Deferred()
        on = Consuming(lambda _: handling)
        on.deliver()
        drained = on.consumer.drain()
        on.peer.expect(spec.Basic.Cancel)
        on.peer.send(spec.Basic.CancelOk(on.tag), channel=1)
        self.assertNoResult(drained)
        handling.callback(None)
        self.successResultOf(drained)
        self.assertIsInstance(on.answers()[0], spec.Basic.Ack)

    def test_drained_does_not_consume_on_a_new_channel(self) -> None:
        on = Consuming(lambda _: None)
        on.consumer.detach(ChannelLost("gone"))
        self.successResultOf(on.consumer.drain())
        channel = on.peer.open_channel()
        self.successResultOf(Deferred.fromCoroutine(on.consumer.attach(channel)))
        self.assertEqual(on.peer.received(), [])

    def test_started_again_consumes_again(self) -> None:
        on = Consuming(lambda _: None)
        on.consumer.detach(ChannelLost("gone"))
        self.successResultOf(on.consumer.drain())
        on.consumer.start()
        channel = on.peer.open_channel()
        attaching = Deferred.fromCoroutine(on.consumer.attach(channel))
        on.peer.expect(spec.Basic.Qos)
        self.assertNoResult(attaching)

    def test_given_up_fails_those_who_wait_for_it(self) -> None:
        consumer = Consumer("q", lambda _: None)
        consuming = consumer.when_consuming()
        consumer.give_up(ConnectionClosed("stopped"))
        self.failureResultOf(consuming, ConnectionClosed)

    def test_drained_before_the_broker_has_accepted_it_takes_nothing(self) -> None:
        seen: list[Delivery] = []
        on = Consuming(seen.append, accepted=False)
        self.successResultOf(on.consumer.drain())
        on.deliver()
        self.assertTrue(on.peer.expect(spec.Basic.Nack).requeue)
        on.accept()
        on.peer.expect(spec.Basic.Cancel)
        self.assertEqual(seen, [])


class PrefetchTests(PeerTestCase):
    """At most `prefetch` handlers at a time, whatever channels come and go."""

    def setUp(self) -> None:
        self.handling: list[Deferred[None]] = []

        def handler(_: Delivery) -> Deferred[None]:
            self.handling.append(Deferred())
            return self.handling[-1]

        self.on = Consuming(handler, prefetch=2)

    def test_next_channels_deliveries_wait_for_the_last_ones_handlers(self) -> None:
        self.on.deliver(1)
        self.on.deliver(2)
        self.on.attach_again()
        self.on.deliver(1, redelivered=True)
        self.on.deliver(2, redelivered=True)
        self.assertEqual(len(self.handling), 2)
        self.handling[0].callback(None)
        self.assertEqual(len(self.handling), 3)
        self.on.answers()
        self.handling[2].callback(None)
        (ack,) = self.on.answers()
        self.assertEqual(ack.delivery_tag, 1)  # type: ignore[attr-defined]

    def test_those_that_wait_go_back_with_their_channel(self) -> None:
        self.on.deliver(1)
        self.on.deliver(2)
        self.on.attach_again()
        self.on.deliver(1, redelivered=True)
        self.on.attach_again()
        self.handling[0].callback(None)
        self.assertEqual(len(self.handling), 2)

    def test_those_that_wait_go_back_when_it_drains(self) -> None:
        self.on.deliver(1)
        self.on.deliver(2)
        self.on.attach_again()
        self.on.deliver(1, redelivered=True)
        drained = self.on.consumer.drain()
        self.on.peer.agree()
        for each in self.handling:
            each.callback(None)
        self.successResultOf(drained)
        self.assertEqual(len(self.handling), 2)

    def test_many_that_wait_are_handled_without_deep_recursion(self) -> None:
        first: Deferred[None] = Deferred()
        seen: list[Delivery] = []

        def handler(delivery: Delivery) -> Deferred[None] | None:
            seen.append(delivery)
            return first if len(seen) == 1 else None

        on = Consuming(handler, prefetch=1)
        on.deliver(1)
        on.attach_again()
        for tag in range(1, 2001):  # more than a broker would send
            on.deliver(tag)
        first.callback(None)
        self.assertEqual(len(seen), 2001)
