"""`netdemo.bridge.push`: stopping loses neither a record nor an answer."""

from __future__ import annotations

from netdemo.bridge.clients import LINGER
from tests.pushing import PushTestCase


class StoppingTests(PushTestCase):
    """`PushFactory.stop`."""

    window = 2

    def test_what_was_read_is_finished_as_there_is_room_then_the_connection_closed(self) -> None:
        self.client.dataReceived(b"a\nb\nc\n")
        stopped = self.factory.stop()
        self.assertEqual(self.broker.sent(), [b"a", b"b"])
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.broker.sent(), [b"c"])
        self.assertFalse(self.wire.disconnecting)
        self.broker.ack(3)
        self.assertTrue(self.wire.disconnecting)
        self.assertNoResult(stopped)
        self.wire.end()
        self.successResultOf(stopped)

    def test_what_was_read_of_a_client_that_left_is_finished_as_there_is_room(self) -> None:
        room = self.outlet.window
        self.client.dataReceived(b"a\nb\nc\nd\n")
        stopped = self.factory.stop()
        self.broker.ack(1)
        self.assertEqual(self.broker.sent(), [b"a", b"b", b"c"])
        self.wire.end()
        self.broker.ack(2)
        self.assertEqual(self.broker.sent(), [b"d"])
        self.assertNoResult(stopped)
        self.broker.ack(4, multiple=True)
        self.successResultOf(stopped)
        self.assertEqual((room.messages, self.outlet.confirmed), (0, 4))

    def test_idle_clients_are_closed_at_once(self) -> None:
        stopped = self.factory.stop()
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.successResultOf(stopped)

    def test_record_that_is_published_again_may_still_be_confirmed(self) -> None:
        self.client.dataReceived(b"a\n")
        self.broker.nack(1)
        self.clock.advance(1)
        stopped = self.factory.stop()
        self.broker.ack(2)
        self.assertEqual(self.outlet.confirmed, 1)
        self.wire.end()
        self.successResultOf(stopped)

    def test_client_that_does_not_take_its_answers_is_aborted_in_time(self) -> None:
        stopped = self.factory.stop()
        self.clock.advance(LINGER)
        self.assertFalse(self.wire.connected)
        self.successResultOf(stopped)

    def test_record_that_waits_to_be_published_again_is_given_up(self) -> None:
        self.client.dataReceived(b"a\n")
        self.broker.nack(1)
        self.wire.end()
        self.successResultOf(self.factory.stop())
        self.assertEqual(self.outlet.confirmed, 0)

    def test_stop_after_a_half_close_closes_once(self) -> None:
        self.client.dataReceived(b"a\n")
        self.client.readConnectionLost()
        stopped = self.factory.stop()
        self.broker.ack(1)
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.successResultOf(stopped)

    def test_stopped_before_it_works_as_before(self) -> None:
        self.wire.end()
        self.successResultOf(self.factory.stop())
        client, _ = self.connect()
        client.dataReceived(b"a\n")
        self.broker.nack(1)
        self.broker.sent()
        self.clock.advance(1)
        self.assertEqual(self.broker.sent(), [b"a"])
        self.broker.ack(2)
        self.assertEqual(self.outlet.confirmed, 1)


class StoppingWithAnswersTests(PushTestCase):
    """`PushFactory.stop` on a route with answers."""

    ack = True

    def test_client_that_goes_on_sending_gets_every_answer(self) -> None:
        self.client.dataReceived(b"a\nb\n")
        stopped = self.factory.stop()
        self.client.dataReceived(b"c\n")
        self.assertEqual(self.broker.sent(), [b"a", b"b"])
        self.broker.ack(2, multiple=True)
        self.assertEqual(self.wire.value(), b"OK\nOK\n")
        self.assertTrue(self.wire.write_ended)  # a close would reset the connection
        self.assertEqual(self.wire.producerState, "producing")
        self.assertNoResult(stopped)
        self.client.readConnectionLost()
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.successResultOf(stopped)
