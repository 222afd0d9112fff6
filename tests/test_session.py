"""`netdemo.amqp.session`: opening, refusals, and every way to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from OpenSSL.SSL import Error as TLSError
from OpenSSL.SSL import SysCallError
from pika import BasicProperties, spec
from pika.frame import Body, Header, Method
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from netdemo.amqp.broker_url import BrokerURL
from netdemo.amqp.channel import MAX_BODY
from netdemo.amqp.interfaces import ISession, Stage
from netdemo.amqp.session import CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT, Session
from netdemo.errors import (
    ChannelLost,
    ConnectionClosed,
    ConnectionClosedByUs,
    HandshakeTimeout,
    OtherProtocol,
)
from tests.peer import SERVER_PROPERTIES, Peer, PeerTestCase
from tests.wire import TCPWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.amqp.message import Delivery

REFUSAL = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."


class OpeningTests(PeerTestCase):
    """From TCP to an open AMQP connection."""

    def test_provides_its_interfaces(self) -> None:
        peer = Peer()
        verifyObject(ISession, peer.session)
        verifyObject(IProtocol, peer.session)

    def test_opened_fires_with_the_session(self) -> None:
        peer = Peer().shake_hands()
        self.assertIs(self.successResultOf(peer.session.opened), peer.session)

    def test_each_stage_is_told_when_it_is_reached(self) -> None:
        peer = Peer().connect()
        started, logged_in, opened = (
            peer.session.reached(stage) for stage in (Stage.STARTED, Stage.LOGGED_IN, Stage.OPEN)
        )
        self.assertNoResult(started)
        peer.send(spec.Connection.Start(server_properties={"product": "Rabbit"}))
        self.successResultOf(started)
        self.assertEqual("Rabbit", peer.session.server_properties["product"])
        self.assertNoResult(logged_in)
        peer.send(spec.Connection.Tune(channel_max=0, frame_max=131072, heartbeat=0))
        self.successResultOf(logged_in)
        self.assertNoResult(opened)
        peer.send(spec.Connection.OpenOk())
        self.successResultOf(opened)
        self.successResultOf(peer.session.reached(Stage.LOGGED_IN))

    def test_stage_that_is_not_reached_fails_with_the_reason(self) -> None:
        peer = Peer().connect()
        peer.session.opened.addErrback(lambda _: None)
        waiting = peer.session.reached(Stage.LOGGED_IN)
        peer.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        peer.send(spec.Connection.Close(403, REFUSAL, 0, 0))
        peer.wire.end()
        for failed in (waiting, peer.session.reached(Stage.OPEN)):
            error = self.failureResultOf(failed, ConnectionClosed).value
            self.assertEqual(error.reply_text, REFUSAL)

    def test_abort_by_those_who_learn_of_the_end_is_no_second_one(self) -> None:
        peer = Peer().connect()
        peer.session.opened.addErrback(lambda _: peer.session.abort())
        self.patch(peer.wire, "abortConnection", self.fail)  # which TLS that has ended can't do
        peer.wire.end(ConnectionLost())
        self.successResultOf(peer.session.opened)

    def test_nothing_waits_for_the_brokers_ack_of_tcp(self) -> None:
        session = Peer().session
        wire = TCPWire(session)
        session.makeConnection(wire)
        self.assertTrue(wire.no_delay)
        session.opened.addErrback(lambda _: None)
        wire.end()

    def test_refused_login_fails_in_the_brokers_words(self) -> None:
        peer = Peer().connect()
        peer.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        peer.send(spec.Connection.Close(403, REFUSAL, 0, 0))
        peer.wire.end()
        error = self.failureResultOf(peer.session.opened, ConnectionClosed).value
        self.assertEqual(error.reply_text, REFUSAL)
        self.assertEqual(error.reply_code, 403)
        self.assertEqual(str(error), f"{REFUSAL} (403)")

    def test_unknown_virtual_host_fails_in_the_brokers_words(self) -> None:
        peer = Peer().connect()
        peer.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        peer.send(spec.Connection.Tune(channel_max=0, frame_max=0, heartbeat=0))
        peer.send(spec.Connection.Close(530, "NOT_ALLOWED - vhost x not found", 10, 40))
        peer.wire.end()
        error = self.failureResultOf(peer.session.opened, ConnectionClosed).value
        self.assertEqual(error.reply_text, "NOT_ALLOWED - vhost x not found")

    def test_mechanism_that_is_not_offered_is_named(self) -> None:
        peer = Peer().connect()
        peer.send(spec.Connection.Start(server_properties={}, mechanisms="EXTERNAL"))
        peer.wire.end()
        error = self.failureResultOf(peer.session.opened, ConnectionClosed).value
        self.assertIn("PLAIN", str(error))

    def test_connection_lost_meanwhile_fails(self) -> None:
        peer = Peer().connect()
        peer.wire.end(ConnectionLost())
        self.failureResultOf(peer.session.opened, ConnectionClosed)

    def test_peer_that_says_nothing_is_aborted_in_time(self) -> None:
        peer = Peer().connect()
        peer.clock.advance(HANDSHAKE_TIMEOUT)
        self.failureResultOf(peer.session.opened, HandshakeTimeout)
        self.assertFalse(peer.wire.connected)
        self.assertEqual(peer.clock.getDelayedCalls(), [])

    def test_peer_of_another_protocol_is_refused(self) -> None:
        peer = Peer().connect()
        peer.session.dataReceived(b"AMQP\x00\x01\x00\x00")
        error = self.failureResultOf(peer.session.opened, ConnectionClosed).value
        self.assertIn("it speaks AMQP 1-0-0, not 0-9-1", str(error))
        self.assertFalse(peer.wire.connected)

    def test_unknown_method_is_refused(self) -> None:
        peer = Peer().connect()
        peer.session.dataReceived(b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\xff\xce")
        error = self.failureResultOf(peer.session.opened, ConnectionClosed).value
        self.assertIn("a frame that can't be decoded", str(error))
        self.assertFalse(peer.wire.connected)

    def test_what_speaks_something_else_is_recognised(self) -> None:
        for answer, expected in (
            (b"HTTP/1.1 400 Bad Request\r\n", "it speaks HTTP, not AMQP"),
            (b"\x15\x03\x01\x00\x02\x02\x0a", "it speaks TLS, and was expected to speak AMQP"),
            (b"AMQP\x00\x00\x09\x00", "it speaks AMQP 0-9-0, not 0-9-1"),
            (b"SSH-2.0-x\r\n\x1b", "it does not speak AMQP: its first bytes are b'SSH-2.0-x'"),
        ):
            peer = Peer().connect()
            peer.session.dataReceived(answer[:3])
            peer.session.dataReceived(answer[3:])
            error = self.failureResultOf(peer.session.opened, OtherProtocol).value
            self.assertIn(expected, str(error))
            self.assertFalse(peer.wire.connected)

    def test_frame_without_a_bound_is_refused(self) -> None:
        peer = Peer().shake_hands()
        peer.session.dataReceived(b"HTTP/1.1 400 Bad Request" + bytes(131072))
        error = self.successResultOf(peer.session.closed)
        self.assertIn("a frame of more than 131072 bytes", str(error))
        self.assertFalse(peer.wire.connected)

    def test_failure_of_tls_is_a_readable_line(self) -> None:
        peer = Peer().connect()
        peer.wire.end(TLSError([("SSL routines", "", "certificate verify failed")]))
        error = self.failureResultOf(peer.session.opened, ConnectionClosed).value
        self.assertEqual(str(error), "TLS: certificate verify failed")

    def test_failure_of_tls_in_another_form_is_told_too(self) -> None:
        for failure in (SysCallError(104, "ECONNRESET"), TLSError([]), TLSError()):
            peer = Peer().connect()
            peer.wire.end(failure)
            self.failureResultOf(peer.session.opened, ConnectionClosed)

    def test_cancelling_aborts_and_leaves_nothing(self) -> None:
        peer = Peer().connect()
        peer.session.opened.addErrback(lambda _: None)
        peer.session.opened.cancel()
        self.assertFalse(peer.wire.connected)
        self.assertEqual(peer.clock.getDelayedCalls(), [])


class EndingTests(PeerTestCase):
    """The ways in which an open session ends."""

    def setUp(self) -> None:
        self.peer = Peer().shake_hands()
        self.session = self.peer.session

    def test_lost_connection_is_the_reason(self) -> None:
        self.peer.wire.end(ConnectionLost("gone"))
        reason = self.successResultOf(self.session.closed)
        self.assertIn("the connection was lost", str(reason))

    def test_close_without_a_word_says_so(self) -> None:
        self.peer.wire.end(ConnectionDone())
        reason = self.successResultOf(self.session.closed)
        self.assertIn("without a word", str(reason))

    def test_close_by_the_broker_is_in_its_words(self) -> None:
        self.peer.send(spec.Connection.Close(320, "CONNECTION_FORCED - shutdown", 0, 0))
        self.peer.wire.end()
        reason = self.successResultOf(self.session.closed)
        self.assertEqual(
            (reason.reply_code, reason.reply_text), (320, "CONNECTION_FORCED - shutdown")
        )

    def test_close_is_polite(self) -> None:
        closing = self.session.close()
        self.peer.expect(spec.Connection.Close)
        self.assertNoResult(closing)
        self.peer.send(spec.Connection.CloseOk())
        self.peer.wire.end()
        self.successResultOf(closing)
        self.assertIsInstance(self.successResultOf(self.session.closed), ConnectionClosedByUs)
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_close_aborts_when_the_broker_does_not_answer(self) -> None:
        closing = self.session.close()
        self.peer.clock.advance(CLOSE_TIMEOUT)
        self.successResultOf(closing)
        self.assertFalse(self.peer.wire.connected)

    def test_close_twice_fires_twice(self) -> None:
        closing = [self.session.close(), self.session.close()]
        self.peer.wire.end()
        for each in closing:
            self.successResultOf(each)

    def test_close_of_an_ended_session_fires_at_once(self) -> None:
        self.peer.wire.end()
        self.successResultOf(self.session.close())

    def test_broker_that_closes_and_takes_nothing_more_is_aborted(self) -> None:
        self.peer.send(spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0))
        self.assertTrue(self.peer.wire.connected)  # what is unwritten could still be wanted
        self.peer.clock.advance(CLOSE_TIMEOUT)
        self.assertFalse(self.peer.wire.connected)
        self.assertEqual(self.successResultOf(self.session.closed).reply_code, 320)

    def test_message_of_any_length_is_refused(self) -> None:
        self.peer.open_channel()
        self.peer.send_header(body_size=MAX_BODY + 1)
        self.assertFalse(self.peer.wire.connected)
        self.assertIn(
            f"a message of {MAX_BODY + 1} bytes", str(self.successResultOf(self.session.closed))
        )

    def test_message_in_any_number_of_pieces_is_refused(self) -> None:
        self.peer.open_channel()
        self.peer.send(spec.Basic.Return(312, "NO_ROUTE", "", "q"), channel=1)
        self.peer.send_header(body_size=1)
        self.session.dataReceived(Body(1, b"").marshal())
        self.assertFalse(self.peer.wire.connected)
        self.assertIn("empty", str(self.successResultOf(self.session.closed)))

    def test_channel_cannot_be_opened_any_more(self) -> None:
        self.peer.wire.end(ConnectionLost())
        error = self.failureResultOf(self.session.open_channel(), ChannelLost).value
        self.assertIn("the connection was lost", str(error))


class ReadingTests(PeerTestCase):
    """What arrives together is dealt with in order, and answered together."""

    def setUp(self) -> None:
        self.peer = Peer().shake_hands()
        self.channel = self.peer.open_channel()
        self.received: list[int] = []
        self.handle: Callable[[int], object] = self.channel.ack
        self.channel.consume("q", self.deliver, lambda: None)
        self.tag = self.peer.expect(spec.Basic.Consume).consumer_tag
        self.peer.send(spec.Basic.ConsumeOk(self.tag), channel=1)

    def deliver(self, delivery: Delivery) -> None:
        """Handle a delivery as the test wants."""
        self.received.append(delivery.delivery_tag)
        self.handle(delivery.delivery_tag)

    def read(self, *tags: int) -> None:
        """Have deliveries with `tags` arrive at once."""
        header = Header(1, 0, BasicProperties()).marshal()
        methods = [spec.Basic.Deliver(self.tag, tag, False, "", "q") for tag in tags]
        data = b"".join(Method(1, method).marshal() + header for method in methods)
        self.peer.session.dataReceived(data)

    def test_acks_of_one_read_are_one(self) -> None:
        self.read(1, 2, 3)
        ack = self.peer.expect(spec.Basic.Ack)
        self.assertEqual((ack.delivery_tag, ack.multiple), (3, True))
        self.assertEqual(self.peer.received(), [])

    def test_ack_of_what_was_read_before_goes_at_once(self) -> None:
        self.handle = lambda _: None
        self.read(1, 2)
        self.channel.ack(2)
        ack = self.peer.expect(spec.Basic.Ack)
        self.assertEqual((ack.delivery_tag, ack.multiple), (2, False))

    def test_acks_go_before_the_channel_is_closed(self) -> None:
        def acknowledge_and_close(tag: int) -> None:
            self.channel.ack(tag)
            self.channel.close()

        self.handle = acknowledge_and_close
        self.read(1)
        sent = [type(each.method) for each in self.peer.received()]
        self.assertEqual(sent, [spec.Basic.Ack, spec.Basic.Cancel, spec.Channel.Close])

    def test_acks_go_before_the_connection_is_closed(self) -> None:
        def acknowledge_and_close(tag: int) -> None:
            self.channel.ack(tag)
            self.peer.session.close()

        self.handle = acknowledge_and_close
        self.read(1)
        sent = [type(each.method) for each in self.peer.received()]
        self.assertEqual(sent, [spec.Basic.Ack, spec.Basic.Cancel, spec.Channel.Close])

    def test_what_comes_while_other_is_dealt_with_comes_after_it(self) -> None:
        self.handle = lambda tag: self.read(3) if tag == 1 else None
        self.read(1, 2)
        self.assertEqual(self.received, [1, 2, 3])

    def test_nothing_more_is_read_when_it_was_ended_meanwhile(self) -> None:
        self.handle = lambda _: self.peer.session.abort()
        self.read(1, 2)
        self.assertEqual(self.received, [1])
        self.assertFalse(self.peer.wire.connected)


class HeartbeatTests(PeerTestCase):
    """A half-open connection is noticed."""

    def test_silent_broker_is_given_up(self) -> None:
        peer = Peer().connect()
        peer.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        peer.send(spec.Connection.Tune(channel_max=2047, frame_max=131072, heartbeat=10))
        peer.send(spec.Connection.OpenOk())
        for _ in range(30 + int(CLOSE_TIMEOUT)):
            peer.clock.advance(1)
        self.assertFalse(peer.wire.connected)
        self.assertIn("heartbeat", str(self.successResultOf(peer.session.closed)).lower())
        self.assertEqual(peer.clock.getDelayedCalls(), [])


class BlockedTests(PeerTestCase):
    """A broker that blocks publishers, as with an alarm of memory, for longer than is allowed."""

    def setUp(self) -> None:
        url = BrokerURL.parse("amqp://127.0.0.1/?blocked_connection_timeout=30")
        clock = Clock()
        self.peer = Peer(Session(url.parameters, clock), clock).shake_hands()
        self.peer.send(spec.Connection.Blocked("low on memory"))

    def test_it_is_given_up_with_the_reason(self) -> None:
        self.peer.clock.advance(30)
        self.assertTrue(self.peer.wire.disconnecting)
        self.peer.wire.end()
        reason = self.successResultOf(self.peer.session.closed)
        self.assertEqual(str(reason), "the broker took no messages for 30 s")
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])

    def test_one_that_goes_on_in_time_is_kept(self) -> None:
        self.peer.clock.advance(29)
        self.peer.send(spec.Connection.Unblocked())
        self.peer.clock.advance(30)
        self.assertFalse(self.peer.wire.disconnecting)

    def test_one_that_takes_nothing_more_is_aborted(self) -> None:
        self.peer.clock.advance(30)
        self.peer.clock.advance(CLOSE_TIMEOUT)
        self.assertFalse(self.peer.wire.connected)

    def test_connection_that_ends_meanwhile_leaves_no_timer(self) -> None:
        self.peer.wire.end()
        self.assertEqual(self.peer.clock.getDelayedCalls(), [])
