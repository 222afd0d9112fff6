"""Clients that want too much, or say too little: each has its limit, and others notice nothing."""

from __future__ import annotations

from pika import spec

from netdemo.broker.connection import HANDSHAKE_TIMEOUT
from netdemo.broker.handshake import CHANNEL_MAX
from netdemo.broker.message import OVERHEAD
from netdemo.broker.wire import PROTOCOL_HEADER, write_method
from netdemo.frames import BODY, HEADER, frame
from tests.broker_peer import FRAME_MAX, BrokerPeerTestCase, content_header, login, publication

MANY = 10_000
KIB = 1024


class SilenceTests(BrokerPeerTestCase):
    """Clients that do not go on."""

    def assert_cut(self, said: bytes) -> None:
        """Check that who says this and no more is cut in time."""
        peer = self.dial()
        if said:
            peer.send(said)
        self.clock.advance(HANDSHAKE_TIMEOUT - 0.1)
        self.assertFalse(peer.closed)
        self.clock.advance(0.1)
        self.assertTrue(peer.closed)

    def test_who_says_nothing_is_cut(self) -> None:
        self.assert_cut(b"")

    def test_who_says_half_a_protocol_header_is_cut(self) -> None:
        self.assert_cut(PROTOCOL_HEADER[:4])

    def test_who_says_only_the_protocol_header_is_cut(self) -> None:
        self.assert_cut(PROTOCOL_HEADER)

    def test_who_says_half_a_frame_is_cut(self) -> None:
        self.assert_cut(PROTOCOL_HEADER + write_method(0, login())[:-1])

    def test_who_logs_in_and_opens_nothing_is_cut(self) -> None:
        self.assert_cut(PROTOCOL_HEADER + write_method(0, login()))

    def test_open_connection_is_not_cut(self) -> None:
        peer = self.connect()
        self.clock.advance(10 * HANDSHAKE_TIMEOUT)
        self.assertFalse(peer.closed)

    def test_half_a_frame_for_ever_keeps_no_more_than_itself(self) -> None:
        peer, other = self.connect(), self.connect()
        half = frame(BODY, 1, bytes(FRAME_MAX - 8))[:-1]
        for start in range(0, len(half), KIB):
            peer.send(half[start : start + KIB])
            self.assertEqual([], other.publish("nobody"))
        self.assertEqual(b"", peer.unread)
        self.assertEqual(len(half), len(peer.connection._frames._unread))


class ContentTests(BrokerPeerTestCase):
    """Contents that are too large, or never come."""

    def begin(self, channel: int, size: int) -> bytes:
        """Return a publish of which no body comes."""
        publish = write_method(channel, spec.Basic.Publish(routing_key="q"))
        return publish + frame(HEADER, channel, content_header(size))

    def test_announced_size_beyond_all_bounds_closes_the_channel_alone(self) -> None:
        for size in (1 << 32, 1 << 63, (1 << 64) - 1):
            peer = self.connect(1, 2)
            peer.send(self.begin(1, size) + frame(BODY, 1, b"more") * 3)
            (close,) = peer.methods()
            self.assertIsInstance(close, spec.Channel.Close)
            self.assertEqual(406, close.reply_code)
            self.assertEqual([], peer.publish("nobody", channel=2))

    def test_contents_that_are_begun_on_every_channel_hold_no_memory(self) -> None:
        channels = range(1, CHANNEL_MAX + 1)
        peer = self.connect(*channels)
        peer.send(b"".join(self.begin(each, 60 * KIB) for each in channels))
        self.assertEqual([], peer.received())
        self.assertEqual(0, self.broker.memory.used)

    def test_contents_that_are_begun_are_bounded_together(self) -> None:
        channels = range(1, CHANNEL_MAX + 1)
        peer = self.connect(*channels)
        peer.send(b"".join(self.begin(each, 10_000 * KIB) for each in channels))
        self.assertIn(spec.Channel.Close, {type(each) for each in peer.methods()})
        self.assertFalse(peer.closed)

    def test_channel_beyond_the_limit_ends_the_connection(self) -> None:
        peer = self.connect(*range(1, CHANNEL_MAX + 1))
        (close,) = peer.call(spec.Channel.Open(), channel=CHANNEL_MAX + 1)
        self.assertEqual(530, close.method.reply_code)


class ManyTests(BrokerPeerTestCase):
    """Clients that do something again and again."""

    def test_flood_into_a_short_queue_keeps_what_fits(self) -> None:
        peer = self.connect()
        peer.call(spec.Queue.Declare(queue="q", arguments={"x-max-length": 10}))
        flood = publication(1, "", "q", b"x" * 100) * 100
        for _ in range(MANY // 100):
            peer.send(flood)
        self.assertEqual(10, self.vhost.queue("q").count())
        self.assertEqual(10 * (OVERHEAD + 14 + 100), self.broker.memory.used)

    def test_what_is_got_and_never_acknowledged_is_counted_and_comes_back(self) -> None:
        peer = self.connect()
        peer.call(spec.Queue.Declare(queue="q"))
        peer.send(publication(1, "", "q", b"x") * MANY)
        peer.send(write_method(1, spec.Basic.Get(queue="q")) * MANY)
        self.assertEqual(0, self.vhost.queue("q").count())
        self.assertEqual(MANY * (OVERHEAD + 14 + 1), self.broker.memory.used)
        peer.end()
        self.assertEqual(MANY, self.vhost.queue("q").count())

    def test_channels_that_open_and_close_leave_nothing(self) -> None:
        peer = self.connect()
        both = write_method(2, spec.Channel.Open())
        both += write_method(2, spec.Channel.Close(200, "", 0, 0))
        peer.send(both * MANY)
        self.assertEqual(2 * MANY, len(peer.received()))
        self.assertEqual([1], list(peer.connection._channels))

    def test_consumers_that_come_and_go_leave_nothing(self) -> None:
        peer = self.connect()
        peer.call(spec.Queue.Declare(queue="q"))
        both = write_method(1, spec.Basic.Consume(queue="q", consumer_tag="t"))
        peer.send((both + write_method(1, spec.Basic.Cancel("t"))) * MANY)
        self.assertEqual(2 * MANY, len(peer.received()))
        self.assertEqual({}, dict(self.vhost.queue("q").rotation.members))

    def test_guessed_tags_acknowledge_nobodys_messages(self) -> None:
        owner = self.connect()
        owner.call(spec.Queue.Declare(queue="q"))
        owner.publish("q", b"x")
        owner.call(spec.Basic.Get(queue="q"))
        for tag in (0, 1, 2, 1 << 63):
            peer = self.connect()
            (close,) = peer.call(spec.Basic.Ack(tag))
            self.assertEqual(
                f"PRECONDITION_FAILED - unknown delivery tag {tag}", close.method.reply_text
            )
        self.assertEqual([], owner.call(spec.Basic.Ack(1)))
