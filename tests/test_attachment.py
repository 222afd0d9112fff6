"""`netdemo.amqp.attachment`: publishers and consumers get channel after channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, spec
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost

from netdemo.amqp.consumer import Consumer
from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.topology import Exchange, Topology
from netdemo.errors import ConnectionClosed, NotSentError, OutcomeUnknownError
from tests.clients import ClientTestCase
from tests.peer import SERVER_PROPERTIES

if TYPE_CHECKING:
    from netdemo.amqp.message import Delivery


class RestoringTests(ClientTestCase):
    """Publishers and consumers get a channel on each connection."""

    def test_published_before_there_is_a_connection_is_sent_on_the_first(self) -> None:
        done = self.client.publish(Message(b"x"), "", "q")
        self.client.startService()
        peer = self.accept()
        self.assertIsInstance(self.asked[-1], spec.Basic.Publish)
        self.assertNoResult(done)
        peer.send(spec.Basic.Ack(1), channel=1)
        self.successResultOf(done)

    def test_unconfirmed_is_published_again_on_the_next_connection(self) -> None:
        self.client.startService()
        first = self.accept()
        done = self.client.publish(Message(b"x"), "", "q")
        first.wire.end(ConnectionLost())
        self.reactor.advance(1)
        second = self.accept()
        self.assertIsInstance(self.asked[-1], spec.Basic.Publish)
        second.send(spec.Basic.Ack(1), channel=1)
        self.successResultOf(done)

    def test_consumer_is_restored_on_the_next_connection(self) -> None:
        self.client.startService()
        consuming = self.client.consume("q", lambda _: None)
        for _ in range(2):
            peer = self.accept()
            self.assertEqual(self.consumes(), ["q"])
            peer.wire.end(ConnectionLost())
            self.reactor.advance(1)
        self.assertIsInstance(self.successResultOf(consuming), Consumer)

    def test_channel_closed_for_an_error_is_opened_again_alone_after_a_delay(self) -> None:
        self.client.startService()
        peer = self.accept()
        bad = self.client.publish(Message(b"x"), "nope", "")
        peer.received()
        peer.send(spec.Channel.Close(404, "NOT_FOUND - no exchange 'nope'", 60, 40), channel=1)
        self.failureResultOf(bad, NotSentError)
        peer.expect(spec.Channel.CloseOk)
        self.assertEqual(self.client.status.state, "ready")
        self.reactor.advance(1)
        peer.expect(spec.Channel.Open)
        self.assertIn("NOT_FOUND - no exchange 'nope' (404)", self.logged[-1])

    def test_removed_consumer_has_its_channel_closed_and_no_other(self) -> None:
        self.client.startService()
        peer = self.accept()
        consumer = Consumer("q", lambda _: None)
        self.client.add(consumer)
        peer.agree()
        self.client.remove(consumer)
        self.assertIn(spec.Channel.Close, [type(each) for each in peer.agree()])
        peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        self.accept()
        self.assertEqual(self.consumes(), [])


class RefusedTests(ClientTestCase):
    """A user that can't work is tried again, and seen in the log."""

    def test_without_a_free_channel_it_is_tried_again(self) -> None:
        self.client.startService()
        peer = self.connect()
        peer.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        peer.send(spec.Connection.Tune(channel_max=2, frame_max=131072, heartbeat=0))
        peer.send(spec.Connection.OpenOk())
        first, second = (Consumer(queue, lambda _: None) for queue in ("first", "second"))
        self.client.add(first)
        self.client.add(second)
        peer.agree()
        self.assertEqual(
            self.logged[-1],
            "consumer of 'second': all of the connection's 2 channels are in use; "
            "next attempt in 2.0 s",
        )
        self.client.remove(first)
        peer.agree()
        self.reactor.advance(2)
        peer.agree()
        self.successResultOf(second.when_consuming())

    def test_unexpected_error_is_logged_with_its_traceback_and_tried_again(self) -> None:
        self.client.startService()
        peer = self.accept()
        self.client.add(Publisher(Topology(exchanges=(Exchange("e" * 256),))))
        peer.agree()
        self.assertEqual(len(self.flushLoggedErrors(Exception)), 1)
        self.assertIn("next attempt in 2.0 s", self.logged[-1])
        self.reactor.advance(2)
        peer.agree()
        self.assertEqual(len(self.flushLoggedErrors(Exception)), 1)

    def test_content_without_a_method_ends_the_connection_alone(self) -> None:
        self.client.startService()
        peer = self.accept()
        peer.send_header(channel=1)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertFalse(peer.wire.connected)
        self.reactor.advance(1)
        self.accept()
        self.assertEqual(self.client.status.state, "ready")


class RemovingTests(ClientTestCase):
    """`remove` at any moment; `add` once."""

    def setUp(self) -> None:
        super().setUp()
        self.client.startService()
        self.peer = self.accept()

    def test_added_twice_is_an_error(self) -> None:
        consumer = Consumer("q", lambda _: None)
        self.client.add(consumer)
        self.assertRaises(ValueError, self.client.add, consumer)

    def test_removed_twice_is_nothing(self) -> None:
        consumer = Consumer("q", lambda _: None)
        self.client.add(consumer)
        self.client.remove(consumer)
        self.client.remove(consumer)

    def test_removed_and_added_again_works(self) -> None:
        publisher = Publisher()
        self.client.add(publisher)
        self.client.remove(publisher)
        self.client.add(publisher)
        self.peer.agree()
        done = publisher.publish(Message(b"x"), "", "q")
        self.peer.send(spec.Basic.Ack(1), channel=3)  # 2 was not closed yet
        self.successResultOf(done)

    def test_confirms_of_a_channel_that_still_closes_are_not_the_next_ones(self) -> None:
        publisher = Publisher()
        self.client.add(publisher)
        self.peer.agree()
        before = publisher.publish(Message(b"x"), "", "q")
        self.client.remove(publisher)
        self.failureResultOf(before, OutcomeUnknownError)
        self.peer.received()
        self.client.add(publisher)
        self.peer.agree()
        done = publisher.publish(Message(b"x"), "", "q")
        self.peer.send(spec.Basic.Ack(1), channel=2)
        self.assertNoResult(done)
        self.peer.send(spec.Basic.Ack(1), channel=3)
        self.successResultOf(done)

    def test_removed_before_its_channel_is_open_closes_it_then(self) -> None:
        for _ in range(3):  # clients of a pull route that connect and leave
            consumer = Consumer("q", lambda _: None)
            self.client.add(consumer)
            self.client.remove(consumer)
            self.assertEqual(
                [type(each) for each in self.peer.agree()], [spec.Channel.Open, spec.Channel.Close]
            )
        self.assertTrue(self.peer.wire.connected)

    def test_removed_before_its_channel_is_open_and_the_connection_lost(self) -> None:
        consumer = Consumer("q", lambda _: None)
        self.client.add(consumer)
        self.client.remove(consumer)
        self.peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        self.accept()
        self.assertEqual(self.client.status.state, "ready")
        self.assertEqual(self.consumes(), [])

    def test_removed_as_soon_as_it_consumes(self) -> None:
        removed = self.client.consume("q", lambda _: None).addCallback(self.client.remove)
        asked = [type(each) for each in self.peer.agree()]
        self.successResultOf(removed)
        self.assertEqual(asked[-2:], [spec.Basic.Cancel, spec.Channel.Close])

    def test_removed_consumer_is_not_handed_what_was_on_its_way(self) -> None:
        handled: list[Delivery] = []
        consumer = Consumer("q", handled.append)
        self.client.add(consumer)
        tag = next(each.consumer_tag for each in self.peer.agree() if hasattr(each, "consumer_tag"))
        self.client.remove(consumer)
        method = spec.Basic.Deliver(tag, 1, False, "", "q")
        self.peer.send_content(method, BasicProperties(), b"x", channel=2)
        self.assertEqual(handled, [])

    def test_removed_publisher_fails_what_it_has_in_hand(self) -> None:
        publisher = Publisher()
        self.client.add(publisher)
        waiting = publisher.publish(Message(b"x"), "", "q")
        self.client.remove(publisher)
        self.failureResultOf(waiting, NotSentError)
        self.client.add(publisher)
        self.peer.agree()
        sent = publisher.publish(Message(b"x"), "", "q")
        self.client.remove(publisher)
        self.failureResultOf(sent, OutcomeUnknownError)

    def test_cancelled_consume_leaves_no_consumer(self) -> None:
        consuming = self.client.consume("q", lambda _: None)
        consuming.cancel()
        self.failureResultOf(consuming, CancelledError)
        self.assertNotIn(spec.Basic.Consume, [type(each) for each in self.peer.agree()])
        self.peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        self.accept()
        self.assertEqual(self.consumes(), [])

    def test_consume_fails_when_the_client_stops_and_leaves_no_consumer(self) -> None:
        self.peer.wire.end(ConnectionLost())
        consuming = self.client.consume("q", lambda _: None)
        self.successResultOf(self.client.stopService())
        self.failureResultOf(consuming, ConnectionClosed)
        self.client.startService()
        self.accept()
        self.assertEqual(self.consumes(), [])
