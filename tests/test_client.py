"""`netdemo.amqp.client`: connecting, backing off, coming back, and stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

from pika import BasicProperties, spec
from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from zope.interface.verify import verifyObject

from netdemo.amqp.client import STOP_TIMEOUT, AMQPClient
from netdemo.amqp.consumer import Consumer
from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.session import HANDSHAKE_TIMEOUT
from netdemo.errors import BrokerURLError, ConnectionClosed, NotSentError, OutcomeUnknownError
from tests.clients import REFUSAL, SECRET, ClientTestCase

if TYPE_CHECKING:
    from twisted.internet.endpoints import TCP4ClientEndpoint

    from netdemo.amqp.message import Delivery


class ConnectingTests(ClientTestCase):
    """From `startService` to ready."""

    def test_provides_its_interface(self) -> None:
        verifyObject(IService, self.client)

    def test_malformed_url_raises_at_once(self) -> None:
        self.assertRaises(BrokerURLError, AMQPClient, ["amqp:/x"], self.reactor)
        self.assertRaises(ValueError, AMQPClient, [], self.reactor)

    def test_connects_when_it_is_started_not_before(self) -> None:
        self.assertEqual(self.reactor.tcpClients, [])
        self.client.startService()
        self.assertEqual(self.attempt()[:2], ("one", 1))
        self.assertEqual(self.client.status.state, "connecting")

    def test_started_twice_connects_once(self) -> None:
        self.client.startService()
        self.client.startService()
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_ready_when_amqp_is_open_not_when_tcp_is(self) -> None:
        self.client.startService()
        ready = self.client.when_ready()
        peer = self.connect()
        self.assertNoResult(ready)
        peer.let_in()
        self.successResultOf(ready)
        self.successResultOf(self.client.when_ready())
        self.assertEqual(self.client.status.state, "ready")

    def test_password_is_in_no_log(self) -> None:
        self.client.startService()
        self.refuse()
        self.reactor.advance(2)
        self.refuse_login(self.connect())
        self.assertTrue(self.logged)
        self.assertNotIn(SECRET, "".join(self.logged) + repr(vars(self.client)))


class BackOffTests(ClientTestCase):
    """Failures in a row make the delays longer."""

    def test_refused_connection_is_tried_again_after_the_delay(self) -> None:
        self.client.startService()
        self.refuse()
        self.assertEqual(self.client.status.state, "waiting")
        self.assertEqual(str(self.client.status.reason), "Connection refused")
        self.reactor.advance(1.9)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.reactor.advance(0.1)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_refused_login_counts_as_a_failure_though_tcp_was_open(self) -> None:
        self.client.startService()
        for failures in (1, 2, 3):
            self.refuse_login(self.connect())
            (timer,) = self.reactor.getDelayedCalls()
            self.assertEqual(timer.getTime() - self.reactor.seconds(), 1.0 + failures)
            self.reactor.advance(1.0 + failures)

    def test_refused_login_is_logged_once_per_attempt_in_the_brokers_words(self) -> None:
        self.client.startService()
        self.refuse_login(self.connect())
        self.assertEqual(self.logged, [f"amqp://one:1/: {REFUSAL} (403); next attempt in 2.0 s"])
        self.reactor.advance(2)
        self.refuse_login(self.connect())
        self.assertEqual(len(self.logged), 2)

    def test_peer_that_drops_during_the_handshake_counts(self) -> None:
        self.client.startService()
        self.connect().wire.end(ConnectionLost())
        self.assertEqual(self.client.status.state, "waiting")

    def test_handshake_that_takes_too_long_is_aborted_and_counts(self) -> None:
        self.client.startService()
        peer = self.connect()
        self.reactor.advance(HANDSHAKE_TIMEOUT)
        self.assertFalse(peer.wire.connected)
        self.assertEqual(self.client.status.state, "waiting")

    def test_success_forgets_the_failures(self) -> None:
        self.client.startService()
        self.refuse()
        self.reactor.advance(2)
        self.refuse()
        self.reactor.advance(3)
        self.accept().wire.end(ConnectionLost())
        (timer,) = self.reactor.getDelayedCalls()
        self.assertEqual(timer.getTime() - self.reactor.seconds(), 1.0)

    def test_waiter_may_ask_for_the_first_failure(self) -> None:
        self.client.startService()
        patient, hasty = self.client.when_ready(), self.client.when_ready(fail_after_failures=1)
        self.refuse_login(self.connect())
        error = self.failureResultOf(hasty, ConnectionClosed).value
        self.assertEqual(error.reply_text, REFUSAL)
        self.assertNoResult(patient)
        self.reactor.advance(2)
        self.accept()
        self.successResultOf(patient)

    def test_waiter_may_cancel_another_on_a_failure(self) -> None:
        self.client.startService()
        first, second = self.client.when_ready(1), self.client.when_ready(1)
        first.addErrback(lambda _: second.cancel())
        self.refuse()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.reactor.advance(2)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_waiter_may_cancel_another_when_it_is_ready(self) -> None:
        self.client.startService()
        first, second = self.client.when_ready(), self.client.when_ready()
        first.addCallback(lambda _: second.cancel())
        self.accept().wire.end(ConnectionLost())
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_unexpected_error_is_logged_with_its_traceback_and_counts(self) -> None:
        def broken(*_: object) -> TCP4ClientEndpoint:
            raise RuntimeError("broken")

        self.client._endpoint = broken
        self.client.startService()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.logged[-1], "amqp://one:1/: broken; next attempt in 2.0 s")
        self.reactor.advance(2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class SeveralBrokersTests(ClientTestCase):
    """Brokers are tried in turn."""

    urls = ("amqp://one:1", "amqp://two:2")

    def test_next_broker_is_tried_after_a_failure(self) -> None:
        self.client.startService()
        self.refuse()
        self.reactor.advance(2)
        self.assertEqual(self.attempt()[:2], ("two", 2))
        self.refuse()
        self.reactor.advance(3)
        self.assertEqual(self.attempt()[:2], ("one", 1))


class StoppingTests(ClientTestCase):
    """`stopService` finishes what is in hand, within its time."""

    def test_stopped_while_connecting_aborts_the_attempt(self) -> None:
        self.client.startService()
        peer = self.connect()
        self.successResultOf(self.client.stopService())
        self.assertFalse(peer.wire.connected)
        self.assertEqual(self.client.status.state, "stopped")

    def test_stopped_while_connecting_waits_for_the_end_of_the_attempt(self) -> None:
        self.client.startService()
        peer = self.connect()
        with mock.patch.object(peer.wire, "abortConnection"):  # which takes its time
            stopping = self.client.stopService()
        self.assertNoResult(stopping)
        peer.wire.end()
        self.successResultOf(stopping)

    def test_stopped_while_waiting_tries_no_more(self) -> None:
        self.client.startService()
        self.refuse()
        self.successResultOf(self.client.stopService())
        self.reactor.advance(100)
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_stopped_while_ready_closes_politely(self) -> None:
        self.client.startService()
        peer = self.accept()
        stopping = self.client.stopService()
        peer.expect(spec.Channel.Close)
        peer.send(spec.Channel.CloseOk(), channel=1)
        peer.expect(spec.Connection.Close)
        self.assertNoResult(stopping)
        peer.send(spec.Connection.CloseOk())
        peer.wire.end()
        self.successResultOf(stopping)

    def test_waits_for_confirms_before_it_closes(self) -> None:
        self.client.startService()
        peer = self.accept()
        done = self.client.publish(Message(b"x"), "", "q")
        peer.received()
        stopping = self.client.stopService()
        self.assertEqual(peer.received(), [])
        peer.send(spec.Basic.Ack(1), channel=1)
        self.successResultOf(done)
        self.assertNoResult(stopping)
        peer.expect(spec.Channel.Close)
        peer.wire.end()
        self.successResultOf(stopping)

    def test_what_is_not_confirmed_in_time_fails_and_says_so(self) -> None:
        self.client.startService()
        peer = self.accept()
        done = self.client.publish(Message(b"x"), "", "q")
        stopping = self.client.stopService()
        self.reactor.advance(STOP_TIMEOUT)
        self.assertNoResult(done)
        peer.agree()
        self.failureResultOf(done, OutcomeUnknownError)
        self.successResultOf(stopping)

    def test_what_is_in_hand_at_the_end_goes_back_to_its_queue(self) -> None:
        self.client.startService()
        peer = self.accept()

        def forward(delivery: Delivery) -> Deferred[None]:
            return self.client.publish(delivery.message, "", "out")

        self.client.consume("q", forward)
        tag = next(each.consumer_tag for each in peer.agree() if hasattr(each, "consumer_tag"))
        redelivered = spec.Basic.Deliver(tag, 1, True, "", "q")
        peer.send_content(redelivered, BasicProperties(message_id="m"), b"body", channel=2)
        stopping = self.client.stopService()
        peer.agree()
        self.reactor.advance(STOP_TIMEOUT)
        answers = [type(each) for each in peer.agree()]
        self.successResultOf(stopping)
        self.assertIn(spec.Connection.Close, answers)
        self.assertFalse({spec.Basic.Nack, spec.Basic.Ack} & set(answers))
        self.flushLoggedErrors(OutcomeUnknownError)

    def test_cancelled_publish_is_not_waited_for(self) -> None:
        self.client.startService()
        done = self.client.publish(Message(b"x"), "", "q")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.successResultOf(self.client.stopService())

    def test_never_started_it_stops_at_once(self) -> None:
        done = self.client.publish(Message(b"x"), "", "q")
        self.successResultOf(self.client.stopService())
        self.failureResultOf(done, NotSentError)

    def test_stopped_again_while_it_stops_fires_with_the_first(self) -> None:
        self.client.startService()
        peer = self.accept()
        stopping = [self.client.stopService(), self.client.stopService()]
        self.assertNoResult(stopping[1])
        peer.agree()
        for each in stopping:
            self.successResultOf(each)
        self.successResultOf(self.client.stopService())

    def test_goes_on_when_its_deferred_is_cancelled(self) -> None:
        self.client.startService()
        peer = self.accept()
        stopping = self.client.stopService()
        stopping.cancel()
        self.failureResultOf(stopping, CancelledError)
        peer.agree()
        self.assertFalse(peer.wire.connected)
        self.assertEqual(self.client.status.state, "stopped")

    def test_started_while_it_stops_connects_again_after_that(self) -> None:
        self.client.startService()
        peer = self.accept()
        stopping = self.client.stopService()
        self.client.startService()
        self.assertEqual(len(self.reactor.tcpClients), 1)
        peer.agree()
        self.successResultOf(stopping)
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.accept()
        self.successResultOf(self.client.when_ready())

    def test_stopped_while_the_connection_is_lost_it_can_be_started_again(self) -> None:
        self.client.startService()
        peer = self.accept()
        publisher = Publisher(republish=False)
        self.client.add(publisher)
        peer.agree()
        publishing = publisher.publish(Message(b"x"), "", "q")
        stopped = publishing.addErrback(lambda _: self.client.stopService())
        peer.wire.end(ConnectionLost())
        self.successResultOf(stopped)
        self.client.startService()
        done = self.client.publish(Message(b"x"), "", "q")
        self.accept().send(spec.Basic.Ack(1), channel=1)
        self.successResultOf(done)

    def test_all_consumers_are_cancelled_at_once(self) -> None:
        self.client.startService()
        peer = self.accept()
        handling: Deferred[None] = Deferred()
        for queue in ("a", "b"):
            self.client.add(Consumer(queue, lambda _: handling))
        tags = [each.consumer_tag for each in peer.agree() if hasattr(each, "consumer_tag")]
        for channel, tag in enumerate(tags, 2):
            method = spec.Basic.Deliver(tag, 1, False, "", "q")
            peer.send_content(method, BasicProperties(), b"x", channel=channel)
        stopping = self.client.stopService()
        cancelled = [each.consumer_tag for each in peer.agree()]
        self.assertEqual(set(cancelled), set(tags))
        self.assertNoResult(stopping)
        handling.callback(None)
        peer.agree()
        self.successResultOf(stopping)

    def test_consumer_that_is_added_while_it_stops_consumes_when_it_is_started_again(self) -> None:
        self.client.startService()
        peer = self.accept()
        done = self.client.publish(Message(b"x"), "", "q")
        stopping = self.client.stopService()
        consumer = Consumer("q", lambda _: None)
        self.client.add(consumer)
        self.assertNotIn(spec.Basic.Consume, [type(each) for each in peer.agree()])
        peer.send(spec.Basic.Ack(1), channel=1)
        self.successResultOf(done)
        peer.agree()
        self.successResultOf(stopping)
        self.client.startService()
        self.accept()
        self.assertEqual(self.consumes(), ["q"])

    def test_published_after_it_was_started_again_waits_for_the_connection(self) -> None:
        self.client.startService()
        self.successResultOf(self.client.stopService())
        self.failureResultOf(self.client.publish(Message(b"x"), "", "q"), NotSentError)
        self.client.startService()
        done = self.client.publish(Message(b"x"), "", "q")
        peer = self.accept()
        self.assertNoResult(done)
        peer.send(spec.Basic.Ack(1), channel=1)
        self.successResultOf(done)

    def test_waiter_may_stop_it_on_a_failure(self) -> None:
        self.client.startService()
        hasty = self.client.when_ready(fail_after_failures=1)
        hasty.addErrback(lambda _: self.client.stopService())
        self.refuse()
        self.successResultOf(hasty)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_waiter_may_stop_it_when_it_is_ready(self) -> None:
        self.client.startService()
        stopped = self.client.when_ready().addCallback(lambda _: self.client.stopService())
        peer = self.accept()
        peer.agree()
        self.successResultOf(stopped)
        self.assertFalse(peer.wire.connected)

    def test_waiters_fail(self) -> None:
        self.client.startService()
        ready = self.client.when_ready()
        self.successResultOf(self.client.stopService())
        self.failureResultOf(ready, ConnectionClosed)

    def test_started_again_connects_again(self) -> None:
        self.client.startService()
        self.successResultOf(self.client.stopService())
        self.client.startService()
        self.accept()
        self.successResultOf(self.client.when_ready())
