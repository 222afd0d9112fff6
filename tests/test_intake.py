"""`netdemo.bridge.intake`: idle clients, those who leave, and other framings."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from zope.interface import directlyProvides

from netdemo.bridge.clients import LINGER
from tests.pushing import PushTestCase


class IdleTests(PushTestCase):
    """An idle timeout of ten seconds, and a window of two records."""

    ack = True
    window = 2
    idle_timeout = 10.0

    def test_client_that_sends_nothing_is_dropped(self) -> None:
        self.clock.advance(9)
        self.assertTrue(self.wire.connected)
        self.clock.advance(1)
        self.assertFalse(self.wire.connected)

    def test_client_that_sends_is_not(self) -> None:
        for _ in range(4):
            self.clock.advance(9)
            self.client.dataReceived(b"x")
        self.assertTrue(self.wire.connected)

    def test_client_that_waits_for_its_answer_is_not(self) -> None:
        self.client.dataReceived(b"a\n")
        self.clock.pump([10] * 3)
        self.assertTrue(self.wire.connected)
        self.broker.ack(1)

    def test_client_has_all_the_time_again_after_its_answer(self) -> None:
        self.client.dataReceived(b"a\n")
        self.clock.advance(9)
        self.broker.ack(1)
        self.clock.advance(9)
        self.assertTrue(self.wire.connected)
        self.clock.advance(1)
        self.assertFalse(self.wire.connected)

    def test_client_that_is_not_read_for_others_is_not_idle(self) -> None:
        """What it has sent is in the kernel, and would be lost."""
        self.client.dataReceived(b"a\nb\n")
        other, wire = self.connect()
        self.assertEqual(wire.producerState, "paused")
        self.clock.pump([10] * 3)
        self.assertTrue(wire.connected)
        self.broker.ack(1)
        self.assertEqual(wire.producerState, "producing")
        self.clock.advance(9)
        self.assertTrue(wire.connected)
        other.dataReceived(b"c\n")
        self.assertIn(b"c", self.broker.sent())

    def test_half_closed_client_that_does_not_take_its_answers_is_dropped(self) -> None:
        self.client.dataReceived(b"a\n")
        self.client.readConnectionLost()
        self.clock.advance(20)
        self.assertTrue(self.wire.connected)
        self.broker.ack(1)
        self.assertTrue(self.wire.disconnecting)
        self.clock.advance(10)
        self.assertFalse(self.wire.connected)

    def test_client_that_was_refused_has_its_time_to_read_why(self) -> None:
        self.clock.advance(9)
        self.client.dataReceived(b"x" * 20)
        self.clock.advance(LINGER - 1)
        self.assertTrue(self.wire.connected)
        self.clock.advance(1)
        self.assertFalse(self.wire.connected)

    def test_client_that_left_leaves_no_timer(self) -> None:
        self.wire.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FullWindowTests(PushTestCase):
    """A window of one record, which is full."""

    window = 1

    def setUp(self) -> None:
        super().setUp()
        self.client.dataReceived(b"a\n")
        self.waiting = len(self.outlet.window._waiting)

    def test_clients_that_come_and_go_leave_nothing(self) -> None:
        for _ in range(10):
            _, wire = self.connect()
            wire.end(ConnectionLost())
        self.assertEqual(len(self.outlet.window._waiting), self.waiting)
        self.broker.ack(1)

    def test_room_goes_to_those_who_are_still_there(self) -> None:
        other, wire = self.connect()
        self.wire.end(ConnectionDone())
        self.broker.ack(1)
        self.assertEqual(wire.producerState, "producing")
        other.dataReceived(b"b\n")
        self.assertEqual(self.broker.sent(), [b"a", b"b"])

    def test_client_that_waited_and_was_stopped_wakes_for_nothing(self) -> None:
        _, wire = self.connect()
        stopped = self.factory.stop()
        self.broker.ack(1)
        self.assertEqual(wire.producerState, "paused")
        for each in (self.wire, wire):
            each.end()
        self.successResultOf(stopped)


class FairnessTests(PushTestCase):
    """Ten clients that send at once, and a window of two records."""

    window = 2

    def test_each_has_its_turn(self) -> None:
        clients = [self.client, *(self.connect()[0] for _ in range(9))]
        for number, client in enumerate(clients):
            client.dataReceived(b"%d\n" % number * 10)
        sent = self.broker.sent()
        for tag in range(1, 101):
            self.broker.ack(tag)
            sent += self.broker.sent()
            counts = [sent.count(b"%d" % number) for number in range(10)]
            self.assertLessEqual(max(counts) - min(counts), 3)
        self.assertEqual(counts, [10] * 10)


class StopTests(PushTestCase):
    """`stop` in the midst of other ends."""

    ack = True
    window = 2

    def test_client_leaves_while_what_it_sent_is_finished(self) -> None:
        self.client.dataReceived(b"a\nb\nc\n")
        stopped = self.factory.stop()
        self.wire.end(ConnectionLost())
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.broker.sent(), [b"a", b"b", b"c"])
        self.assertNoResult(stopped)
        self.broker.ack(3)
        self.successResultOf(stopped)

    def test_client_that_lingers_has_its_time_and_the_route_waits_for_it(self) -> None:
        self.client.dataReceived(b"x" * 20)
        stopped = self.factory.stop()
        self.clock.advance(LINGER - 1)
        self.assertNoResult(stopped)
        self.clock.advance(1)
        self.successResultOf(stopped)

    def test_half_closed_client_gets_its_answers(self) -> None:
        self.client.dataReceived(b"a\n")
        self.client.readConnectionLost()
        stopped = self.factory.stop()
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"OK\n")
        self.wire.end()
        self.successResultOf(stopped)

    def test_who_comes_meanwhile_is_refused_and_later_let_in(self) -> None:
        self.client.dataReceived(b"a\n")
        stopped = self.factory.stop()
        self.assertNotIn(self.factory.buildProtocol(None), self.factory.connections)
        self.broker.ack(1)
        self.wire.end()
        self.successResultOf(stopped)
        client, _ = self.connect()
        self.assertIn(client, self.factory.connections)

    def test_record_beyond_the_limit_behind_a_full_window_is_answered_in_its_turn(self) -> None:
        self.client.dataReceived(b"a\nb\n" + b"x" * 20)
        stopped = self.factory.stop()
        self.broker.ack(2, multiple=True)
        self.assertEqual(
            self.wire.value(), b"OK\nOK\nERR too-long a record has at most 10 bytes here\n"
        )
        self.wire.end()
        self.successResultOf(stopped)

    def test_over_tls_answers_come_before_the_close(self) -> None:
        directlyProvides(self.wire, ISSLTransport)
        self.client.dataReceived(b"a\n")
        stopped = self.factory.stop()
        self.assertFalse(self.wire.disconnecting)
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"OK\n")
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.successResultOf(stopped)


class StopUnansweredTests(PushTestCase):
    """`stop` on a route without answers."""

    def test_over_tls_it_reads_on_until_the_client_has_closed_too(self) -> None:
        directlyProvides(self.wire, ISSLTransport)
        self.client.dataReceived(b"a\n")
        stopped = self.factory.stop()
        self.broker.ack(1)
        self.assertTrue(self.wire.disconnecting)
        self.assertEqual(self.wire.producerState, "producing")
        self.client.dataReceived(b"b\n")
        self.assertEqual(self.broker.sent(), [b"a"])
        self.wire.end()
        self.successResultOf(stopped)


class NetstringTests(PushTestCase):
    """Answers come in the route's framing."""

    ack = True
    framing = "netstring"

    def test_records_and_answers_are_netstrings(self) -> None:
        self.client.dataReceived(b"3:a\nb,0:,")
        self.assertEqual(self.broker.sent()[0], b"a\nb")
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.wire.value(), b"2:OK,2:OK,")

    def test_what_is_none_is_answered_after_those_before_it(self) -> None:
        self.client.dataReceived(b"1:a,hello\n")
        self.broker.ack(1)
        answer = b"ERR malformed expected a netstring: 5:hello,"
        self.assertEqual(self.wire.value(), b"2:OK,%d:%s," % (len(answer), answer))
        self.assertTrue(self.wire.write_ended)

    def test_netstring_that_is_broken_off_is_counted_not_published(self) -> None:
        self.client.dataReceived(b"1:a,5:hel")
        self.client.readConnectionLost()
        self.assertEqual(self.broker.sent(), [b"a"])
        self.assertEqual(self.factory.truncated, 1)
        self.broker.ack(1)
        self.assertTrue(self.wire.disconnecting)


class Int32Tests(PushTestCase):
    """Answers come in the route's framing."""

    ack = True
    framing = "int32"

    def test_records_and_answers_follow_their_lengths(self) -> None:
        self.client.dataReceived(b"\0\0\0\3a\nb")
        self.assertEqual(self.broker.sent(), [b"a\nb"])
        self.broker.ack(1)
        self.assertEqual(self.wire.value(), b"\0\0\0\2OK")

    def test_line_from_who_knows_no_better_is_too_long(self) -> None:
        self.client.dataReceived(b"hello\n")
        self.assertIn(b"ERR too-long", self.wire.value())
