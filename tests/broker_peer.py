"""A peer of our broker in memory: no network, no time but the clock's, and bytes as it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import spec
from twisted.internet.task import Clock

from netdemo.broker.broker import Broker
from netdemo.broker.connection import Connection
from netdemo.broker.login import Peer
from netdemo.broker.store import memory_store
from netdemo.broker.users import guest_only
from netdemo.broker.wire import PROTOCOL_HEADER, write_method
from netdemo.frames import BODY, HEADER, OVERHEAD
from netdemo.frames import frame as raw_frame
from tests.contract_client import CAPABILITIES
from tests.decoding import frames_in
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from pika.amqp_object import Method

FRAME_MAX = 131_072
BODY_MAX = FRAME_MAX - OVERHEAD


def login(user: str = "guest", password: str = "guest") -> spec.Connection.StartOk:
    """Return what a peer says of itself."""
    properties = {"capabilities": CAPABILITIES}
    return spec.Connection.StartOk(properties, "PLAIN", f"\0{user}\0{password}", "en_US")


GREETING = PROTOCOL_HEADER + b"".join(
    write_method(0, method)
    for method in (
        login(),
        spec.Connection.TuneOk(2047, FRAME_MAX, 0),
        spec.Connection.Open("/"),
    )
)
"""All that a peer says until its connection is open."""


class BrokerPeer:
    """A peer of `broker`; see `netdemo.broker.connection.Outlet`.

    What it is sent is kept in `unread`, which is read frame by frame with `received`. `reading`
    tells whether the broker reads on, `closed` whether it has ended the connection. With a `room`,
    in bytes, the broker is told to pause when more than that is unread, until `resume`.
    """

    room: int | None = None

    def __init__(self, broker: Broker, address: Peer | None = None) -> None:
        self.broker = broker
        self.unread = b""
        self.reading = True
        self.closed = False
        self.heartbeat = 0.0
        self.connection = Connection(broker, address or Peer(), self)

    def write(self, data: bytes) -> None:
        """Keep what the broker sends."""
        self.unread += data
        if self.room is not None and len(self.unread) > self.room:
            self.connection.pause()

    def resume(self) -> None:
        """Tell the broker that the peer has read what there was."""
        self.unread = b""
        self.broker.turns.run(self.connection.resume)

    def read(self, reading: bool) -> None:
        """Note whether the broker reads on."""
        self.reading = reading

    def tuned(self, heartbeat: float) -> None:
        """Note what was agreed on."""
        self.heartbeat = heartbeat

    def close(self) -> None:
        """Note that the broker ends the connection."""
        self.closed = True

    abort = close

    def shake_hands(self, *channels: int) -> BrokerPeer:
        """Open the connection, and channels with these numbers; forget what was said."""
        self.send(GREETING)
        for number in channels:
            self.call(spec.Channel.Open(), channel=number)
        self.received()
        assert not self.closed
        return self

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.broker.turns.run(self.connection.receive, data)

    def call(self, *methods: Method, channel: int = 1) -> list[Any]:
        """Send methods; return the frames that the broker sends then."""
        self.send(b"".join(write_method(channel, method) for method in methods))
        return self.received()

    def publish(
        self, routing_key: str, body: bytes = b"", *, exchange: str = "", channel: int = 1
    ) -> list[Any]:
        """Publish a message; return the frames that the broker sends then."""
        self.send(publication(channel, exchange, routing_key, body))
        return self.received()

    def received(self) -> list[Any]:
        """Return the frames that the broker has sent since this was asked last."""
        data, self.unread = self.unread, b""
        return frames_in(data)

    def methods(self) -> list[Any]:
        """Return the methods that the broker has sent since this, or `received`, was asked."""
        return [each.method for each in self.received() if each.NAME == "METHOD"]

    def refusal(self, data: bytes = b"") -> tuple[int, str]:
        """Send bytes; return code and text of the close that is the last to be answered."""
        self.send(data)
        close = self.methods()[-1]
        assert isinstance(close, spec.Connection.Close | spec.Channel.Close), close
        return close.reply_code, close.reply_text

    def end(self) -> None:
        """Be gone."""
        self.broker.turns.run(self.connection.ended)


def publication(
    channel: int,
    exchange: str,
    routing_key: str,
    body: bytes = b"",
    header: bytes | None = None,
    mandatory: bool = False,
) -> bytes:
    """Return the frames of a publish; the payload of its `header` may be anything."""
    if header is None:
        header = content_header(len(body))
    frames = write_method(channel, spec.Basic.Publish(0, exchange, routing_key, mandatory))
    frames += raw_frame(HEADER, channel, header)
    pieces = [body[start : start + BODY_MAX] for start in range(0, len(body), BODY_MAX)]
    return frames + b"".join(raw_frame(BODY, channel, piece) for piece in pieces)


def content_header(size: int, flags: int = 0, values: bytes = b"", class_id: int = 60) -> bytes:
    """Return the payload of a content header."""
    return class_id.to_bytes(2) + b"\0\0" + size.to_bytes(8) + flags.to_bytes(2) + values


class BrokerPeerTestCase(TidyTestCase):
    """A test with a broker in memory, which must make no mistake and leave no DelayedCall.

    It has a store, in memory too, if `stored`. Mistakes are logged as failures, for which trial
    fails the test.
    """

    stored = False

    def setUp(self) -> None:
        self.clock = Clock()
        store = memory_store(self.clock) if self.stored else None
        self.broker = Broker(self.clock, guest_only(), store)
        self.vhost = self.broker.vhost("/")
        self._peers: list[BrokerPeer] = []

    def dial(self, address: Peer | None = None) -> BrokerPeer:
        """Return a peer that is connected and has said nothing."""
        peer = BrokerPeer(self.broker, address)
        self._peers.append(peer)
        return peer

    def connect(self, *channels: int) -> BrokerPeer:
        """Return a peer with an open connection and open channels."""
        return self.dial().shake_hands(*(channels or (1,)))

    def tidy(self) -> None:
        """Let all peers leave; what they held must be gone."""
        for peer in self._peers:
            peer.end()
        for queue in list(self.vhost.queues.values()):
            self.broker.turns.run(self.vhost.delete_queue, queue)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(0, self.broker.memory.used)
        self.assertEqual({}, self.broker.connections)
        super().tidy()
