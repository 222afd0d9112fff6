"""`netdemo.bridge.pull`: messages that clients answer with ACK or NACK."""

from __future__ import annotations

from twisted.logger import capturedLogs

from netdemo.bridge.clients import LINGER
from tests.pulling import PullTestCase


class AnswerTests(PullTestCase):
    """A route with `ack`."""

    ack = True
    options = {"idle_timeout": 10.0}  # noqa: RUF012

    def test_what_the_kernel_has_is_not_acknowledged(self) -> None:
        _, wire = self.connect()
        self.publish(b"1")
        self.assertEqual(wire.take(), b"1\n")
        wire.end()
        self.network.advance()
        self.assertEqual(self.ready(), 1)

    def test_ack_acknowledges_the_first_that_is_not_answered(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"2")
        wire.take()
        client.dataReceived(b"ACK\r\n")
        wire.end()
        self.network.advance()
        self.assertEqual(self.connect()[1].take(), b"2\n")
        self.assertEqual(self.factory.delivered, 1)

    def test_nack_gives_it_back(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"2")
        wire.take()
        client.dataReceived(b"NACK\nACK\n")
        self.network.advance()
        self.assertEqual(wire.take(), b"1\n")
        self.assertEqual((self.factory.nacked, self.factory.delivered), (1, 1))

    def test_next_messages_come_as_they_are_answered(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"2", b"3", b"4", b"5")
        self.assertEqual(wire.take(), b"1\n2\n3\n")
        client.dataReceived(b"ACK\nACK\n")
        self.network.advance()
        self.assertEqual(wire.take(), b"4\n5\n")

    def test_anything_else_ends_the_connection_with_one_line_in_the_log(self) -> None:
        for answer in (b"ack\n", b"\n", b"ACK ACK\n", b"x" * 100, b"no\nno\n"):
            client, wire = self.connect()
            self.publish(b"1")
            wire.take()
            with capturedLogs() as logged:
                client.dataReceived(answer)
                client.dataReceived(b"ACK\n")
            self.assertFalse(wire.connected)
            self.assertEqual(len(logged), 1)
            self.network.advance()
            self.assertEqual(self.ready(), 1)
            client, wire = self.connect()
            wire.take()
            client.dataReceived(b"ACK\n")
            wire.end()
            self.network.advance()

    def test_answer_for_no_record_ends_the_connection_and_those_before_count(self) -> None:
        client, wire = self.connect()
        self.publish(b"1")
        wire.take()
        client.dataReceived(b"ACK\nACK\n")
        self.assertFalse(wire.connected)
        self.network.advance()
        self.assertEqual(self.ready(), 0)

    def test_answer_too_early_ends_the_connection(self) -> None:
        client, wire = self.connect()
        client.dataReceived(b"ACK\n")
        self.assertFalse(wire.connected)

    def test_answer_after_its_channel_was_lost_is_nothing_and_the_next_is_right(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"2")
        self.assertEqual(wire.take(), b"1\n2\n")
        self.broker.drop()
        self.network.advance(5)
        client.dataReceived(b"ACK\nNACK\n")
        self.assertEqual(wire.take(), b"1\n2\n")
        client.dataReceived(b"ACK\nACK\n")
        self.network.advance()
        wire.end()
        self.network.advance()
        self.assertEqual(self.ready(), 0)

    def test_no_more_than_the_prefetch_is_unanswered_however_often_channels_are_lost(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"2", b"3")
        wire.take()
        self.broker.drop()
        self.network.advance(5)
        self.assertEqual(wire.take(), b"")
        client.dataReceived(b"ACK\nACK\n")
        self.assertEqual(wire.take(), b"1\n2\n")

    def test_client_that_answers_nothing_is_dropped_though_it_has_read_all(self) -> None:
        _, wire = self.connect()
        self.publish(b"1")
        wire.take()
        self.network.advance(10)
        self.assertFalse(wire.connected)
        self.assertEqual(self.ready(), 1)

    def test_client_that_has_answered_all_is_not_idle(self) -> None:
        client, wire = self.connect()
        self.publish(b"1")
        wire.take()
        client.dataReceived(b"ACK\n")
        self.network.advance(60)
        self.assertTrue(wire.connected)


class StoppingTests(PullTestCase):
    """`PullFactory.stop` on a route with `ack`."""

    ack = True

    def test_what_was_written_is_answered_then_the_connection_closed(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"2")
        wire.take()
        stopped = self.factory.stop()
        self.network.advance()
        client.dataReceived(b"ACK\n")
        self.assertFalse(wire.disconnecting)
        client.dataReceived(b"ACK\n")
        self.assertTrue(wire.disconnecting)
        wire.end()
        self.network.advance()
        self.successResultOf(stopped)
        self.assertEqual(self.ready(), 0)

    def test_client_that_does_not_answer_in_time_is_aborted(self) -> None:
        _, wire = self.connect()
        self.publish(b"1")
        wire.take()
        self.factory.stop()
        self.network.advance(LINGER)
        self.assertFalse(wire.connected)
        self.assertEqual(self.ready(), 1)
