"""`netdemo.broker.connection`: opening, closing, back-pressure, alarms and what is written."""

from __future__ import annotations

from typing import Any

from pika import spec
from twisted.internet.defer import Deferred

from netdemo.broker.connection import (
    CLOSE_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    OUTPUT_LIMIT,
)
from netdemo.broker.permissions import Permissions
from netdemo.broker.publishing import MAX_MESSAGE
from netdemo.broker.users import User, Users
from netdemo.broker.wire import PROTOCOL_HEADER, write_method
from netdemo.frames import HEADER, frame
from tests.broker_peer import (
    GREETING,
    BrokerPeer,
    BrokerPeerTestCase,
    content_header,
    login,
    publication,
)


class CountingPeer(BrokerPeer):
    """A peer that counts how often it was written to, and keeps how it was ended."""

    def __init__(self, *arguments: Any) -> None:
        self.writes = 0
        self.aborted = False
        super().__init__(*arguments)

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)

    def abort(self) -> None:
        self.aborted = True
        super().close()


class ConnectionTestCase(BrokerPeerTestCase):
    """A broker with peers that count."""

    def peer(self, *channels: int) -> CountingPeer:
        """Return a peer, with an open connection if there are channels."""
        peer = CountingPeer(self.broker)
        self._peers.append(peer)
        if channels:
            peer.shake_hands(*channels)
            peer.writes = 0
        return peer

    def with_queue(self, peer: BrokerPeer, *methods: Any) -> None:
        """Declare the queue q, and send what else is to be sent."""
        peer.call(spec.Queue.Declare(queue="q"), *methods)


class OpeningTests(ConnectionTestCase):
    """Peers that take their time to open."""

    def test_peer_that_says_nothing_is_aborted(self) -> None:
        peer = self.peer()
        self.clock.advance(HANDSHAKE_TIMEOUT - 0.1)
        self.assertFalse(peer.aborted)
        self.clock.advance(0.1)
        self.assertTrue(peer.aborted)

    def test_peer_that_stops_half_way_is_aborted(self) -> None:
        peer = self.peer()
        peer.send(PROTOCOL_HEADER + write_method(0, login()))
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertTrue(peer.aborted)

    def test_peer_that_has_opened_stays(self) -> None:
        peer = self.peer(1)
        self.clock.advance(10 * HANDSHAKE_TIMEOUT)
        self.assertFalse(peer.closed)

    def test_handshake_that_comes_byte_by_byte_is_taken(self) -> None:
        peer = self.peer()
        for byte in GREETING:
            peer.send(bytes((byte,)))
        names = [type(each) for each in peer.methods()]
        kinds = spec.Connection
        self.assertEqual([kinds.Start, kinds.Tune, kinds.OpenOk], names)

    def test_peer_that_speaks_something_else_is_told_what_we_speak(self) -> None:
        peer = self.peer()
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual((PROTOCOL_HEADER, True), (peer.unread, peer.closed))

    def test_peer_that_leaves_while_its_password_is_tried_costs_nothing(self) -> None:
        trying: Deferred[bool] = Deferred()
        self.broker.users = Users([User("guest", {"/": Permissions()}, None)], lambda _: trying)
        peer = self.peer()
        peer.send(PROTOCOL_HEADER + write_method(0, login()))
        peer.end()
        trying.callback(True)
        self.assertEqual({}, self.broker.connections)


class ClosingTests(ConnectionTestCase):
    """Peers that take their time to close."""

    def test_peer_that_does_not_answer_a_close_is_aborted(self) -> None:
        peer = self.peer(1)
        self.assertEqual(504, peer.refusal(write_method(9, spec.Basic.Get(queue="q")))[0])
        self.clock.advance(CLOSE_TIMEOUT - 0.1)
        self.assertFalse(peer.closed)
        self.clock.advance(0.1)
        self.assertTrue(peer.aborted)

    def test_peer_that_answers_a_close_is_closed(self) -> None:
        peer = self.peer(1)
        peer.refusal(write_method(9, spec.Basic.Get(queue="q")))
        peer.call(spec.Connection.CloseOk(), channel=0)
        self.assertEqual((True, False), (peer.closed, peer.aborted))

    def test_nothing_is_heeded_after_a_close(self) -> None:
        peer = self.peer(1)
        peer.refusal(write_method(9, spec.Basic.Get(queue="q")))
        self.assertEqual([], peer.call(spec.Queue.Declare(queue="q")))
        self.assertEqual({}, self.vhost.queues)

    def test_peer_that_closes_is_answered_and_closed(self) -> None:
        peer = self.peer(1)
        (answer,) = peer.call(spec.Connection.Close(200, "bye", 0, 0), channel=0)
        self.assertIsInstance(answer.method, spec.Connection.CloseOk)
        self.assertTrue(peer.closed)

    def test_peer_that_closes_and_takes_nothing_is_aborted(self) -> None:
        peer = self.peer(1)
        peer.call(spec.Connection.Close(200, "bye", 0, 0), channel=0)
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertTrue(peer.aborted)

    def test_broker_that_stops_says_so(self) -> None:
        peer = self.peer(1)
        self.broker.turns.run(peer.connection.close)
        (close,) = peer.methods()
        self.assertEqual(320, close.reply_code)
        self.assertIn("CONNECTION_FORCED", close.reply_text)

    def test_broker_that_stops_aborts_who_is_not_open_yet(self) -> None:
        peer = self.peer()
        self.broker.turns.run(peer.connection.close)
        self.assertTrue(peer.aborted)


class BackPressureTests(ConnectionTestCase):
    """A peer that does not take what it is sent."""

    def test_paused_peer_is_not_read_from(self) -> None:
        peer = self.peer(1)
        peer.connection.pause()
        self.assertFalse(peer.reading)
        self.broker.turns.run(peer.connection.resume)
        self.assertTrue(peer.reading)

    def test_paused_consumer_gets_nothing_until_it_goes_on(self) -> None:
        for arguments in ({}, {"x-single-active-consumer": True}):
            peer, publisher = self.peer(1), self.peer(1)
            queue = f"q{len(arguments)}"
            peer.call(spec.Queue.Declare(queue=queue, arguments=arguments))
            peer.call(spec.Basic.Consume(queue=queue))
            peer.connection.pause()
            publisher.publish(queue, b"1")
            self.assertEqual([], peer.received())
            self.broker.turns.run(peer.connection.resume)
            self.assertEqual(b"1", peer.received()[-1].fragment)

    def test_what_a_paused_consumer_would_get_goes_to_another(self) -> None:
        paused, other = self.peer(1), self.peer(1)
        self.with_queue(paused, spec.Basic.Consume(queue="q"))
        other.call(spec.Basic.Consume(queue="q"))
        paused.connection.pause()
        other.publish("q", b"1")
        other.publish("q", b"2")
        self.assertEqual([], paused.received())

    def test_full_single_active_consumer_gets_the_next_when_it_acknowledges(self) -> None:
        peer = self.peer(1)
        arguments = {"x-single-active-consumer": True}
        peer.call(
            spec.Queue.Declare(queue="q", arguments=arguments),
            spec.Basic.Qos(prefetch_count=1),
            spec.Basic.Consume(queue="q"),
        )
        peer.publish("q", b"1")
        peer.publish("q", b"2")
        self.assertEqual(b"2", peer.call(spec.Basic.Ack(1))[-1].fragment)


class AlarmTests(ConnectionTestCase):
    """A broker that is low on memory."""

    def setUp(self) -> None:
        super().setUp()
        self.broker.memory.limit = 1000
        self.publisher = self.peer(1)
        self.with_queue(self.publisher)

    def alarm(self) -> None:
        """Fill the memory."""
        self.publisher.publish("q", b"b" * 1000)
        self.assertTrue(self.broker.memory.alarm)
        self.publisher.received()

    def purge(self) -> None:
        """Free the memory, as another client does."""
        self.peer(1).call(spec.Queue.Purge(queue="q"))

    def test_who_publishes_is_told_and_blocked(self) -> None:
        self.alarm()
        blocked = self.publisher.publish("q", b"more")[0].method
        self.assertIsInstance(blocked, spec.Connection.Blocked)
        self.assertEqual("low on memory", blocked.reason)
        self.assertFalse(self.publisher.reading)

    def test_who_publishes_on_is_told_once(self) -> None:
        self.alarm()
        self.publisher.publish("q", b"more")
        self.assertEqual([], self.publisher.publish("q", b"more"))

    def test_who_does_not_publish_is_not_blocked(self) -> None:
        self.alarm()
        consumer = self.peer(1)
        self.assertEqual([], consumer.received())
        self.assertTrue(consumer.reading)

    def test_end_of_the_alarm_lets_the_publisher_go_on(self) -> None:
        self.alarm()
        self.publisher.publish("q", b"more")
        self.purge()
        (unblocked,) = self.publisher.methods()
        self.assertIsInstance(unblocked, spec.Connection.Unblocked)
        self.assertTrue(self.publisher.reading)

    def test_publisher_without_the_capability_is_blocked_and_not_told(self) -> None:
        self.publisher.connection.capabilities = {}
        self.alarm()
        self.assertEqual([], self.publisher.publish("q", b"more"))
        self.assertFalse(self.publisher.reading)
        self.purge()
        self.assertEqual([], self.publisher.received())
        self.assertTrue(self.publisher.reading)

    def test_blocked_publisher_that_takes_nothing_is_read_from_when_both_have_ended(self) -> None:
        self.alarm()
        self.publisher.publish("q", b"more")
        self.publisher.connection.pause()
        self.purge()
        self.assertFalse(self.publisher.reading)
        self.broker.turns.run(self.publisher.connection.resume)
        self.assertTrue(self.publisher.reading)


class WritingTests(ConnectionTestCase):
    """What goes out together."""

    def test_answers_of_one_turn_go_in_one_write(self) -> None:
        peer = self.peer(1, 2)
        declare = spec.Queue.Declare(queue="q")
        peer.send(write_method(1, declare) + write_method(2, declare))
        self.assertEqual((1, 2), (peer.writes, len(peer.received())))

    def test_deliveries_of_one_turn_go_in_one_write(self) -> None:
        peer = self.peer(1)
        self.with_queue(peer, spec.Basic.Consume(queue="q"))
        peer.writes = 0
        peer.send(publication(1, "", "q", b"body") * 50)
        self.assertEqual((1, 150), (peer.writes, len(peer.received())))

    def test_much_output_is_written_before_the_turn_ends(self) -> None:
        peer = self.peer(1)
        self.with_queue(peer, spec.Basic.Consume(queue="q"))
        peer.writes = 0
        peer.send(publication(1, "", "q", b"b" * (OUTPUT_LIMIT // 4)) * 8)
        self.assertGreater(peer.writes, 1)
        self.assertEqual(24, len(peer.received()))

    def test_confirms_of_one_turn_are_one_ack(self) -> None:
        peer = self.peer(1)
        self.with_queue(peer, spec.Confirm.Select())
        peer.send(publication(1, "", "q") * 5)
        (ack,) = peer.methods()
        self.assertEqual((5, True), (ack.delivery_tag, ack.multiple))

    def test_one_confirm_alone_is_not_multiple(self) -> None:
        peer = self.peer(1)
        self.with_queue(peer, spec.Confirm.Select())
        (ack,) = peer.publish("q")
        self.assertEqual((1, False), (ack.method.delivery_tag, ack.method.multiple))

    def test_confirms_come_before_the_answer_that_closes_their_channel(self) -> None:
        peer = self.peer(1)
        self.with_queue(peer, spec.Confirm.Select())
        peer.send(publication(1, "", "q") + write_method(1, spec.Channel.Close(200, "", 0, 0)))
        kinds = [type(each) for each in peer.methods()]
        self.assertEqual([spec.Basic.Ack, spec.Channel.CloseOk], kinds)


class ContentTests(ConnectionTestCase):
    """Bodies that are to come, on all channels together."""

    def begin(self, channel: int, size: int) -> bytes:
        """Return a publish of a body that does not come yet."""
        return write_method(channel, spec.Basic.Publish(0, "", "q")) + frame(
            HEADER, channel, content_header(size)
        )

    def test_more_than_a_message_at_once_on_one_connection_is_refused(self) -> None:
        peer = self.peer(1, 2)
        peer.send(self.begin(1, MAX_MESSAGE))
        code, told = peer.refusal(self.begin(2, 1))
        self.assertEqual(311, code)
        self.assertIn("CONTENT_TOO_LARGE", told)

    def test_refused_content_closes_its_channel_alone(self) -> None:
        peer = self.peer(1, 2)
        peer.send(self.begin(1, MAX_MESSAGE))
        peer.refusal(self.begin(2, 1))
        self.assertFalse(peer.closed)

    def test_complete_content_gives_its_room_back(self) -> None:
        peer = self.peer(1)
        peer.publish("q", b"b" * 1000)
        self.assertEqual(0, peer.connection._expected_bytes)


class ChannelNumberTests(ConnectionTestCase):
    """Channels by their numbers."""

    def test_any_number_opens_a_channel(self) -> None:
        peer = self.peer(1, 2047, 65_535)
        for number in (1, 2047, 65_535):
            (answer,) = peer.call(spec.Queue.Declare(queue="q"), channel=number)
            self.assertEqual(number, answer.channel_number)

    def test_number_is_free_when_its_channel_is_closed(self) -> None:
        peer = self.peer(1)
        for _ in range(2):
            peer.call(spec.Channel.Close(200, "", 0, 0))
            (answer,) = peer.call(spec.Channel.Open())
            self.assertIsInstance(answer.method, spec.Channel.OpenOk)

    def test_number_in_use_is_refused(self) -> None:
        code, told = self.peer(1).refusal(write_method(1, spec.Channel.Open()))
        self.assertEqual((504, "CHANNEL_ERROR - second 'channel.open' seen"), (code, told))

    def test_more_channels_than_agreed_are_refused(self) -> None:
        peer = self.peer(1)
        peer.connection.channel_max = 1
        code, told = peer.refusal(write_method(2, spec.Channel.Open()))
        self.assertEqual(530, code)
        self.assertIn("has reached the negotiated channel_max (1)", told)
