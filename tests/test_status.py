"""`netdemo.amqp.status`: what state something is in, told to those who listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import spec
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.consumer import Consumer
from netdemo.amqp.message import Message
from netdemo.amqp.status import Observable, Status
from netdemo.errors import ConnectionBlocked, ConnectionClosed
from tests.clients import REFUSAL, SECRET, ClientTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class Light(Observable):
    """Something with a state."""

    def turn(self, state: str) -> None:
        """Have another state."""
        self._change_status(Status(state))


class ObservableTests(SynchronousTestCase):
    """Listeners hear of every change, in order."""

    def setUp(self) -> None:
        self.light = Light(Status("red"))
        self.heard: list[str] = []

    def hear(self, status: Status) -> None:
        """Remember what was told."""
        self.heard.append(status.state)

    def test_every_change_is_told_and_nothing_else(self) -> None:
        self.light.add_status_listener(self.hear)
        for state in ("red", "green", "green", "red"):
            self.light.turn(state)
        self.assertEqual(self.heard, ["green", "red"])

    def test_removed_listener_hears_no_more(self) -> None:
        self.light.add_status_listener(self.hear)
        self.light.remove_status_listener(self.hear)
        self.light.turn("green")
        self.assertEqual(self.heard, [])
        self.assertRaises(ValueError, self.light.remove_status_listener, self.hear)

    def test_one_that_another_removes_hears_no_more(self) -> None:
        self.light.add_status_listener(lambda _: self.light.remove_status_listener(self.hear))
        self.light.add_status_listener(self.hear)
        self.light.turn("green")
        self.assertEqual(self.heard, [])

    def test_listener_that_raises_is_logged_and_the_others_hear(self) -> None:
        self.light.add_status_listener(lambda _: 1 / 0)
        self.light.add_status_listener(self.hear)
        self.light.turn("green")
        self.assertEqual(self.heard, ["green"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_listener_that_changes_it_leaves_the_order_to_the_others(self) -> None:
        self.light.add_status_listener(lambda _: self.light.turn("red"))
        self.light.add_status_listener(self.hear)
        self.light.turn("green")
        self.assertEqual(self.heard, ["green", "red"])
        self.assertEqual(self.light.status.state, "red")


class ClientStatusTests(ClientTestCase):
    """The states of a client, and the broker's words in them."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[Status] = []
        self.client.add_status_listener(self.heard.append)
        self.client.startService()

    def states(self) -> list[str]:
        """Return the states since this was asked last."""
        states = [status.state for status in self.heard]
        self.heard.clear()
        return states

    def test_from_connecting_to_ready_to_waiting(self) -> None:
        self.assertEqual(self.client.status, Status("connecting", None, "amqp://one:1/"))
        peer = self.accept()
        self.assertEqual(self.client.status, Status("ready", None, "amqp://one:1/"))
        peer.wire.end(ConnectionLost("gone"))
        self.assertEqual(str(self.client.status.reason), "the connection was lost")
        self.reactor.advance(1)
        self.accept()
        self.assertEqual(self.states(), ["connecting", "ready", "waiting", "connecting", "ready"])

    def test_refusal_is_in_the_brokers_words_until_it_is_let_in(self) -> None:
        self.refuse_login(self.connect())
        for state in ("waiting", "connecting"):
            status = self.client.status
            self.assertEqual(status.state, state)
            self.assertIsInstance(status.reason, ConnectionClosed)
            self.assertEqual(str(status), f"{state}: amqp://one:1/: {REFUSAL} (403)")
            self.assertNotIn(SECRET, repr(status))
            self.reactor.advance(2)

    def test_stopped(self) -> None:
        peer = self.accept()
        stopping = self.client.stopService()
        peer.agree()
        self.successResultOf(stopping)
        self.assertEqual(self.client.status, Status("stopped"))

    def test_listener_may_stop_the_client(self) -> None:
        self.client.add_status_listener(
            lambda status: status.state == "waiting" and self.client.stopService()
        )
        self.refuse()
        self.assertEqual(self.client.status, Status("stopped"))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_listener_may_stop_the_client_as_soon_as_it_is_ready(self) -> None:
        stopping: list[Deferred[None]] = []

        def stop(status: Status) -> None:
            if status.state == "ready":
                stopping.append(self.client.stopService())

        self.client.add_status_listener(stop)
        done = self.client.publish(Message(b"x"), "", "q")
        peer = self.connect().let_in()
        peer.agree()
        peer.send(spec.Basic.Ack(1), channel=1)
        peer.agree()
        self.successResultOf(done)
        self.successResultOf(stopping[0])
        self.assertFalse(peer.wire.connected)

    def test_alarm_of_the_broker_is_a_state_until_it_is_over(self) -> None:
        peer = self.accept()
        peer.send(spec.Connection.Blocked("low on memory"))
        self.assertEqual(str(self.client.status), "blocked: amqp://one:1/: low on memory")
        self.assertIsInstance(self.client.status.reason, ConnectionBlocked)
        self.successResultOf(self.client.when_ready())
        peer.send(spec.Connection.Unblocked())
        self.assertEqual(self.client.status, Status("ready", None, "amqp://one:1/"))
        self.assertEqual(self.states(), ["connecting", "ready", "blocked", "ready"])

    def test_connection_that_is_lost_while_it_is_blocked_is_made_again(self) -> None:
        peer = self.accept()
        peer.send(spec.Connection.Blocked("low on memory"))
        peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        self.accept()
        self.assertEqual(self.states()[-3:], ["waiting", "connecting", "ready"])

    def test_alarm_after_it_was_stopped_is_no_state(self) -> None:
        peer = self.accept()
        stopping = self.client.stopService()
        peer.send(spec.Connection.Blocked("low on memory"))
        self.assertEqual(self.client.status.state, "stopped")
        peer.agree()
        self.successResultOf(stopping)


class ConsumerStatusTests(ClientTestCase):
    """A consumer that does not consume says so, and why."""

    def setUp(self) -> None:
        super().setUp()
        self.consumer = Consumer("q", lambda _: None)
        self.heard: list[str] = []
        self.consumer.add_status_listener(lambda status: self.heard.append(str(status)))
        self.client.add(self.consumer)
        self.client.startService()

    def test_from_waiting_to_consuming_to_stopped(self) -> None:
        self.assertEqual(self.consumer.status, Status("waiting"))
        peer = self.accept()
        self.assertEqual(self.consumer.status, Status("consuming"))
        stopping = self.client.stopService()
        peer.agree()
        self.successResultOf(stopping)
        self.assertEqual(
            self.heard, ["waiting", "consuming", "stopped", "stopped: the client was stopped"]
        )

    def test_lost_connection(self) -> None:
        peer = self.accept()
        peer.wire.end(ConnectionLost("gone"))
        self.assertEqual(str(self.consumer.status), "waiting: the connection was lost")
        self.reactor.advance(1)
        self.accept()
        self.assertEqual(self.consumer.status, Status("consuming"))

    def test_queue_that_is_deleted_and_stays_so(self) -> None:
        peer = self.accept()
        tag = next(each.consumer_tag for each in self.asked if hasattr(each, "consumer_tag"))
        peer.send(spec.Basic.Cancel(tag), channel=2)
        peer.agree()
        self.assertEqual(
            str(self.consumer.status), "waiting: the broker cancelled the consumer of 'q'"
        )
        self.reactor.advance(1)
        number = peer.expect_frame(spec.Channel.Open).channel_number
        peer.send(spec.Channel.OpenOk(), channel=number)
        peer.send(spec.Channel.Close(404, "NOT_FOUND - no queue 'q'", 60, 20), channel=number)
        self.assertEqual(str(self.consumer.status), "waiting: NOT_FOUND - no queue 'q' (404)")
        self.assertEqual(self.client.status.state, "ready")

    def test_removed(self) -> None:
        self.accept()
        self.client.remove(self.consumer)
        self.assertEqual(self.consumer.status.state, "stopped")

    def test_removed_by_who_hears_that_it_consumes(self) -> None:
        def remove(status: Status) -> None:
            if status.state == "consuming":
                self.client.remove(self.consumer)

        self.consumer.add_status_listener(remove)
        self.accept()
        self.assertEqual(self.consumer.status.state, "stopped")
