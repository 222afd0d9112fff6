"""`netdemo.amqp.client`: connecting, backing off, coming back, and stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pika import spec
from twisted.application.service import IService
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from netdemo.amqp.client import STOP_TIMEOUT, AMQPClient
from netdemo.amqp.consumer import Consumer
from netdemo.amqp.message import Message
from netdemo.amqp.session import HANDSHAKE_TIMEOUT
from netdemo.amqp.topology import Exchange, Topology
from netdemo.errors import (
    BrokerURLError,
    ChannelClosed,
    ConnectionClosed,
    NotSentError,
    OutcomeUnknownError,
)
from tests.peer import SERVER_PROPERTIES, connected

if TYPE_CHECKING:
    from twisted.logger import ILogObserver

    from netdemo.amqp.broker_url import BrokerURL
    from tests.peer import Peer

SECRET = "s3cret"
REFUSAL = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."


def memory_endpoint(url: BrokerURL, reactor: Any) -> TCP4ClientEndpoint:
    """Connect without looking up a name."""
    return TCP4ClientEndpoint(reactor, url.parameters.host, url.parameters.port)


class ClientTestCase(TestCase):
    """A client whose delays are 1 s, 2 s, 3 s ... on a reactor in memory."""

    urls: tuple[str, ...] = (f"amqp://user:{SECRET}@one:1/",)

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.client = AMQPClient(
            self.urls,
            self.reactor,
            retry_policy=lambda failures: 1.0 + failures,
            endpoint=memory_endpoint,
        )
        self.logged: list[str] = []
        observer = cast("ILogObserver", self._log)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.addCleanup(self.no_timer_is_left)

    def _log(self, event: Any) -> None:
        if event["log_namespace"].startswith("netdemo"):
            self.logged.append(event["log_format"].format(**event))

    def no_timer_is_left(self) -> None:
        """Stop the client, whatever state it is in; no DelayedCall may be left."""
        if self.client.running:
            stopping = self.client.stopService()
            self.reactor.advance(STOP_TIMEOUT)
            self.reactor.advance(STOP_TIMEOUT)
            self.successResultOf(stopping)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def attempt(self) -> Any:
        """Return host, port and factory of the latest attempt to connect."""
        return self.reactor.tcpClients[-1]

    def refuse(self) -> None:
        """Refuse the latest attempt."""
        _, _, factory, *_ = self.attempt()
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError(111, "refused")))

    def connect(self) -> Peer:
        """Let TCP be connected; return the broker's end."""
        return connected(self.reactor)

    def accept(self) -> Peer:
        """Let the client in, and agree to what its publishers and consumers ask first."""
        peer = self.connect().let_in()
        self.asked = peer.agree()
        return peer

    def consumes(self) -> list[str]:
        """Return the queues that were consumed from when the client was let in last."""
        return [each.queue for each in self.asked if isinstance(each, spec.Basic.Consume)]

    def refuse_login(self, peer: Peer) -> None:
        """Refuse the login as RabbitMQ does."""
        peer.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        peer.received()
        peer.send(spec.Connection.Close(403, REFUSAL, 0, 0))
        peer.wire.end()


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
        self.assertEqual(self.client.state, "connecting")

    def test_ready_when_amqp_is_open_not_when_tcp_is(self) -> None:
        self.client.startService()
        ready = self.client.when_ready()
        peer = self.connect()
        self.assertNoResult(ready)
        peer.let_in()
        self.successResultOf(ready)
        self.successResultOf(self.client.when_ready())
        self.assertEqual(self.client.state, "ready")

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
        self.assertEqual(self.client.state, "waiting")
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
        self.assertEqual(self.client.state, "waiting")

    def test_handshake_that_takes_too_long_is_aborted_and_counts(self) -> None:
        self.client.startService()
        peer = self.connect()
        self.reactor.advance(HANDSHAKE_TIMEOUT)
        self.assertFalse(peer.wire.connected)
        self.assertEqual(self.client.state, "waiting")

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
        self.assertEqual(self.client.state, "ready")
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

    def test_declare_fires_when_it_is_declared_and_its_channel_closed(self) -> None:
        self.client.startService()
        peer = self.accept()
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        asked = [type(each) for each in peer.agree()]
        self.successResultOf(declaring)
        self.assertEqual(asked, [spec.Channel.Open, spec.Exchange.Declare, spec.Channel.Close])

    def test_declare_waits_for_a_connection(self) -> None:
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        self.client.startService()
        self.assertNoResult(declaring)
        self.accept()
        self.successResultOf(declaring)

    def test_declare_fails_in_the_brokers_words(self) -> None:
        self.client.startService()
        peer = self.accept()
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        peer.expect(spec.Channel.Open)
        peer.send(spec.Channel.OpenOk(), channel=2)
        peer.send(spec.Channel.Close(406, "PRECONDITION_FAILED - other type", 40, 10), channel=2)
        self.assertEqual(self.failureResultOf(declaring, ChannelClosed).value.reply_code, 406)


class StoppingTests(ClientTestCase):
    """`stopService` finishes what is in hand, within its time."""

    def test_stopped_while_connecting_aborts_the_attempt(self) -> None:
        self.client.startService()
        peer = self.connect()
        self.successResultOf(self.client.stopService())
        self.assertFalse(peer.wire.connected)
        self.assertEqual(self.client.state, "stopped")

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
        self.failureResultOf(done, OutcomeUnknownError)
        peer.wire.end()
        self.successResultOf(stopping)

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
