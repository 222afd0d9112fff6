"""`netdemo.bridge.push`: records in, answers out, and nothing lost between."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from netdemo.bridge.clients import LINGER
from netdemo.errors import ChannelClosed, ConnectionClosed
from tests.pushing import PushTestCase


class PublishingTests(PushTestCase):
    """Without answers."""

    def test_provides_its_interfaces(self) -> None:
        verifyObject(IHalfCloseableProtocol, self.client)
        verifyObject(IPushProducer, self.client)

    def test_each_line_is_published(self) -> None:
        self.client.dataReceived(b"a\nb\nc")
        self.assertEqual(self.broker.sent(), [b"a", b"b"])

    def test_nothing_is_answered(self) -> None:
        self.client.dataReceived(b"a\n")
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"")
        self.assertEqual(self.outlet.confirmed, 1)

    def test_last_line_without_its_end_is_published_when_the_client_ends_cleanly(self) -> None:
        self.client.dataReceived(b"a\nb")
        self.client.readConnectionLost()
        self.assertEqual(self.broker.sent(), [b"a", b"b"])

    def test_connection_is_closed_when_all_that_was_sent_is_confirmed(self) -> None:
        self.client.dataReceived(b"a\nb\n")
        self.client.readConnectionLost()
        self.broker.ack(1)
        self.assertFalse(self.wire.disconnecting)
        self.broker.ack(2)
        self.assertTrue(self.wire.disconnecting)
        self.assertIsNone(self.wire.producer)

    def test_client_that_sent_nothing_is_closed_at_once(self) -> None:
        self.client.readConnectionLost()
        self.assertTrue(self.wire.disconnecting)

    def test_record_broken_off_by_a_reset_is_counted_not_published(self) -> None:
        self.client.dataReceived(b"a\nb")
        self.wire.end(ConnectionLost())
        self.assertEqual(self.broker.sent(), [b"a"])
        self.assertEqual(self.factory.truncated, 1)

    def test_what_a_client_sent_before_it_left_is_still_published(self) -> None:
        self.client.dataReceived(b"a\nb")
        self.wire.end(ConnectionDone())
        self.assertEqual(self.broker.sent(), [b"a", b"b"])
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.outlet.confirmed, 2)

    def test_refused_record_is_published_again_later_and_later(self) -> None:
        self.client.dataReceived(b"a\n")
        for attempt in (1, 2, 3):
            self.assertEqual(self.broker.sent(), [b"a"])
            self.broker.nack(attempt)
            self.clock.advance(attempt - 0.5)
            self.assertEqual(self.broker.sent(), [])
            self.clock.advance(0.5)
        self.broker.ack(4)
        self.assertEqual((self.outlet.confirmed, self.outlet.refused_by_broker), (1, 3))

    def test_unroutable_record_is_published_again_with_the_same_id(self) -> None:
        self.client.dataReceived(b"a\n")
        (before,) = self.broker.sent_ids()
        self.broker.give_back_with_id(before)
        self.broker.ack(1)
        self.clock.advance(1)
        self.assertEqual([before], self.broker.sent_ids())
        self.broker.ack(2)
        self.assertEqual(self.outlet.confirmed, 1)


class FlowControlTests(PushTestCase):
    """A window of two records for the whole route."""

    window = 2

    def test_full_window_stops_reading_within_what_was_read(self) -> None:
        self.client.dataReceived(b"a\nb\nc\nd\n")
        self.assertEqual(self.broker.sent(), [b"a", b"b"])
        self.assertEqual(self.wire.producerState, "paused")

    def test_room_resumes_with_what_was_read(self) -> None:
        self.client.dataReceived(b"a\nb\nc\nd\n")
        self.broker.sent()
        self.broker.ack(1)
        self.assertEqual(self.broker.sent(), [b"c"])
        self.assertEqual(self.wire.producerState, "paused")
        self.broker.ack(3, multiple=True)
        self.assertEqual(self.broker.sent(), [b"d"])
        self.assertEqual(self.wire.producerState, "producing")

    def test_window_is_of_all_clients_and_room_goes_round(self) -> None:
        other, other_wire = self.connect()
        self.client.dataReceived(b"a\nb\nc\n")
        other.dataReceived(b"1\n2\n")
        self.assertEqual(self.broker.sent(), [b"a", b"b", b"1"])
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.broker.sent(), [b"c"])
        self.assertEqual(other_wire.producerState, "paused")
        self.broker.ack(3)
        self.assertEqual(self.broker.sent(), [b"2"])

    def test_client_that_comes_when_it_is_full_waits(self) -> None:
        self.client.dataReceived(b"a\nb\n")
        _, wire = self.connect()
        self.assertEqual(wire.producerState, "paused")
        self.broker.ack(1)
        self.assertEqual(wire.producerState, "producing")

    def test_what_was_read_of_a_client_that_left_is_taken_when_there_is_room(self) -> None:
        self.client.dataReceived(b"a\nb\nc\nd")
        self.wire.end(ConnectionDone())
        self.assertEqual(self.broker.sent(), [b"a", b"b"])
        self.broker.ack(1)
        self.assertEqual(self.broker.sent(), [b"c"])
        self.broker.ack(3, multiple=True)
        self.assertEqual(self.broker.sent(), [b"d"])
        self.broker.ack(4)
        self.assertEqual(self.outlet.confirmed, 4)

    def test_half_closed_client_is_closed_when_all_that_was_read_is_taken_and_done(self) -> None:
        self.client.dataReceived(b"a\nb\nc\nd")
        self.client.readConnectionLost()
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.broker.sent(), [b"a", b"b", b"c", b"d"])
        self.assertFalse(self.wire.disconnecting)
        self.broker.ack(4, multiple=True)
        self.assertTrue(self.wire.disconnecting)

    def test_record_broken_off_while_others_wait_is_counted_after_them(self) -> None:
        self.client.dataReceived(b"a\nb\nc\nd")
        self.wire.end(ConnectionLost())
        self.assertEqual(self.factory.truncated, 0)
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.broker.sent(), [b"a", b"b", b"c"])
        self.assertEqual(self.factory.truncated, 1)
        self.broker.ack(3)

    def test_refused_record_keeps_its_place_in_the_window(self) -> None:
        self.client.dataReceived(b"a\nb\nc\n")
        self.broker.sent()
        self.broker.nack(2, multiple=True)
        self.assertEqual(self.broker.sent(), [])
        self.assertEqual(self.wire.producerState, "paused")
        self.clock.advance(1)
        self.assertEqual(self.broker.sent(), [b"a", b"b"])
        self.broker.ack(4, multiple=True)


class FlowControlInBytesTests(PushTestCase):
    """A window of ten bytes for the whole route."""

    window_bytes = 10

    def test_full_window_stops_reading(self) -> None:
        self.client.dataReceived(b"12345\n1234\n")
        self.assertEqual(self.wire.producerState, "producing")
        self.client.dataReceived(b"1\n2\n")
        self.assertEqual(self.broker.sent(), [b"12345", b"1234", b"1"])
        self.assertEqual(self.wire.producerState, "paused")
        self.broker.ack(3, multiple=True)
        self.assertEqual(self.broker.sent(), [b"2"])
        self.assertEqual(self.wire.producerState, "producing")


class AnswerTests(PushTestCase):
    """With answers."""

    ack = True

    def test_confirmed_is_ok(self) -> None:
        self.client.dataReceived(b"a\n")
        self.assertEqual(self.wire.value(), b"")
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"OK\n")

    def test_answers_come_in_order(self) -> None:
        self.client.dataReceived(b"a\nb\nc\n")
        self.broker.nack(2)
        self.broker.ack(3)
        self.assertEqual(self.wire.value(), b"")
        self.broker.ack(1)
        self.assertEqual(
            self.wire.value(), b"OK\nERR nacked the broker refused it (basic.nack)\nOK\n"
        )

    def test_error_tells_its_code_and_the_brokers_reason(self) -> None:
        self.client.dataReceived(b"a\n")
        self.broker.publisher.detach(ChannelClosed("NOT_FOUND - no\nexchange", 404))
        self.assertEqual(self.wire.value(), b"ERR not-sent NOT_FOUND - no exchange\n")

    def test_stopped_before_the_broker_answered_is_an_unknown_outcome(self) -> None:
        self.client.dataReceived(b"a\n")
        self.broker.publisher.give_up(ConnectionClosed("the client was stopped"))
        self.assertEqual(self.wire.value(), b"ERR outcome-unknown the client was stopped\n")

    def test_half_closed_client_gets_its_answers_before_the_end(self) -> None:
        self.client.dataReceived(b"a\n")
        self.client.readConnectionLost()
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"OK\n")
        self.assertTrue(self.wire.disconnecting)

    def test_client_that_does_not_read_its_answers_is_not_read(self) -> None:
        self.assertIs(self.wire.producer, self.client)
        self.client.pauseProducing()
        self.assertEqual(self.wire.producerState, "paused")
        self.client.resumeProducing()
        self.assertEqual(self.wire.producerState, "producing")

    def test_client_is_read_again_when_nothing_holds_it_any_more(self) -> None:
        self.factory.window.take(1000)
        self.client.dataReceived(b"a\n")
        self.client.pauseProducing()
        self.factory.window.give_back(1000)
        self.assertEqual(self.wire.producerState, "paused")
        self.client.resumeProducing()
        self.assertEqual(self.wire.producerState, "producing")

    def test_answer_to_a_client_that_left_is_dropped(self) -> None:
        self.client.dataReceived(b"a\n")
        self.wire.end(ConnectionLost())
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"")
        self.assertEqual(self.outlet.confirmed, 1)


class TooLongTests(PushTestCase):
    """Records of more than ten bytes."""

    ack = True

    def test_it_is_answered_after_those_before_it_and_counted(self) -> None:
        self.client.dataReceived(b"a\n" + b"x" * 11 + b"\nb\n")
        self.assertEqual(self.broker.sent(), [b"a"])
        self.assertEqual(self.wire.value(), b"")
        self.broker.ack(1)
        self.assertEqual(
            self.wire.value(), b"OK\nERR too-long a record has at most 10 bytes here\n"
        )
        self.assertEqual(self.factory.refused_records, 1)

    def test_it_ends_the_connection_when_the_client_has_read_why(self) -> None:
        self.client.dataReceived(b"x" * 20)
        self.assertTrue(self.wire.write_ended)
        self.assertFalse(self.wire.disconnecting)
        self.client.dataReceived(b"y\nz\n")
        self.assertEqual(self.broker.sent(), [])
        self.client.readConnectionLost()
        self.assertTrue(self.wire.disconnecting)

    def test_client_that_half_closed_meanwhile_gets_every_answer(self) -> None:
        self.client.dataReceived(b"a\n" + b"x" * 20)
        self.client.readConnectionLost()
        self.assertFalse(self.wire.disconnecting)
        self.broker.ack(1)
        self.assertTrue(self.wire.value().startswith(b"OK\nERR too-long "))
        self.assertTrue(self.wire.disconnecting)

    def test_last_line_without_its_end_may_be_too_long_too(self) -> None:
        self.client.dataReceived(b"x" * 11)
        self.client.readConnectionLost()
        self.assertTrue(self.wire.value().startswith(b"ERR too-long "))
        self.assertTrue(self.wire.disconnecting)

    def test_client_that_goes_on_is_aborted_in_time(self) -> None:
        self.client.dataReceived(b"x" * 20)
        self.clock.advance(LINGER)
        self.assertFalse(self.wire.connected)

    def test_client_that_does_not_read_its_answers_is_read_until_it_closes(self) -> None:
        self.client.dataReceived(b"a\n" + b"x" * 20)
        self.client.pauseProducing()
        self.broker.ack(1)
        self.assertEqual(self.wire.producerState, "producing")

    def test_over_tls_it_is_closed_and_aborted_in_time(self) -> None:
        directlyProvides(self.wire, ISSLTransport)
        self.client.dataReceived(b"x" * 20)
        self.assertTrue(self.wire.value().startswith(b"ERR too-long "))
        self.assertTrue(self.wire.disconnecting)
        self.assertFalse(self.wire.write_ended)
        self.clock.advance(LINGER)
        self.assertFalse(self.wire.connected)

    def test_over_tls_it_is_read_until_it_closes_too(self) -> None:
        directlyProvides(self.wire, ISSLTransport)
        self.client.dataReceived(b"a\n" + b"x" * 20)
        self.client.pauseProducing()
        self.broker.ack(1)
        self.assertEqual(self.wire.producerState, "producing")
        self.assertTrue(self.wire.disconnecting)

    def test_client_that_left_before_its_answer_leaves_nothing(self) -> None:
        self.client.dataReceived(b"a\n" + b"x" * 20)
        self.wire.end(ConnectionLost())
        self.broker.ack(1)
        self.assertEqual(self.outlet.confirmed, 1)

    def test_others_are_not_touched(self) -> None:
        _, wire = self.connect()
        self.client.dataReceived(b"x" * 20)
        self.assertFalse(wire.disconnecting)


class TooLongUnansweredTests(PushTestCase):
    """A record of more than ten bytes, on a route without answers."""

    def test_it_ends_the_connection_without_a_word(self) -> None:
        self.client.dataReceived(b"a\n" + b"x" * 20)
        self.assertFalse(self.wire.write_ended)
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"")
        self.assertTrue(self.wire.write_ended)
        self.assertEqual((self.outlet.confirmed, self.factory.refused_records), (1, 1))
