"""The broker's end of one connection, without I/O: bytes come in, and go to an `Outlet`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from pika import spec
from pika.exceptions import InvalidFrameError
from twisted.logger import Logger

from netdemo.broker.channel import Channel
from netdemo.broker.handshake import CHANNEL_MAX, FRAME_MIN, Handshake
from netdemo.broker.publishing import MAX_MESSAGE
from netdemo.broker.wire import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    PROTOCOL_HEADERS,
    broken_frame,
    method_of,
    misplaced_frame,
    read_method,
    shortened,
    unfit_frame,
    write_method,
)
from netdemo.errors import (
    BrokerFault,
    ChannelMisused,
    ConnectionForced,
    ContentTooLarge,
    LoginRefused,
    NotAllowed,
    Refusal,
)
from netdemo.frames import METHOD, OVERHEAD, FrameReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from netdemo.broker.broker import Broker
    from netdemo.broker.login import Peer
    from netdemo.broker.permissions import Access
    from netdemo.broker.vhost import Vhost

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds that a peer has to open the connection."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a peer has to answer ``connection.close``, or to take the answer to its own."""

OUTPUT_LIMIT: Final = 64 * 1024
"""Bytes that wait for the end of the turn, above which they are written at once."""

SHUTDOWN: Final = "broker forced connection closure with reason 'shutdown'"

MAX_REPLIES: Final = 16 * 1024 * 1024
"""Bytes of replies, which no prefetch holds back, for a peer that does not read; others are lost.

RabbitMQ promises as little: a reply is delivered at most once.
"""


class Outlet(Protocol):
    """What a connection needs of the network."""

    def write(self, data: bytes) -> None:
        """Send ``data``; `Connection.pause` is called when it is too much."""

    def read(self, reading: bool) -> None:
        """Read on, or don't."""

    def tuned(self, heartbeat: float) -> None:
        """Send heartbeats, and expect them, so many seconds apart; 0 for none."""

    def close(self) -> None:
        """End the connection when all is sent."""

    def abort(self) -> None:
        """End the connection now."""


class Connection:
    """One connection; `peer` is what the network knows of who is on the other side.

    What arrives is given to `receive`, in a turn of the broker's. `ended` is called when nothing
    more will.
    """

    _log = Logger()
    vhost: Vhost
    access: Access

    def __init__(self, broker: Broker, peer: Peer, outlet: Outlet) -> None:
        self.broker = broker
        self.peer = peer
        self.capabilities: dict[str, Any] = {}
        self.channel_max = CHANNEL_MAX
        self.frame_max = FRAME_MIN
        self._outlet = outlet
        self._frames = FrameReader()
        self._greeting: bytes | None = b""
        self._take: Callable[[int, int, bytes], None] = self._take_handshake
        self._handshake = Handshake(self)
        self._channels: dict[int, Channel] = {}
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._paused = False
        self.untaken: deque[tuple[int, int, bytes]] = deque()
        """Frames that came in one piece with that for which the peer was paused or blocked."""
        self._unread_replies = 0
        """Bytes of replies since then."""
        self._blocked = False
        self._expected_bytes = 0
        self._is_over = False
        self._timer: IDelayedCall | None = broker.turns.call_later(HANDSHAKE_TIMEOUT, outlet.abort)
        broker.connections[self] = None

    def receive(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._is_over:
            return
        if self._greeting is not None:
            data = self._greet(self._greeting + data)
        try:
            # RabbitMQ takes frames whose payload alone is as long as a frame may be.
            for kind, number, payload in self._frames.frames(data, self.frame_max + OVERHEAD):
                if self._paused or self._blocked:
                    if kind != HEARTBEAT:
                        self.untaken.append((kind, number, payload))
                    continue
                self._take_safely(kind, number, payload)
                if self._is_over:
                    return
        except InvalidFrameError as error:
            self._refuse(broken_frame(error, self.frame_max))
            self._is_over = True  # there is no telling where the next frame begins

    def ended(self) -> None:
        """Give back what the peer held: it is gone."""
        self._is_over = True
        self._stop_timer()
        self._handshake.end()
        self.broker.ended(self)
        self._end_channels()

    def write(self, data: bytes) -> None:
        """Send frames, with all else that is sent in this turn."""
        if not self._unwritten:
            self.broker.turns.write_later(self)
        self._unwritten.append(data)
        self._unwritten_bytes += len(data)
        if self._unwritten_bytes > OUTPUT_LIMIT:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        unwritten, self._unwritten = self._unwritten, []
        self._unwritten_bytes = 0
        if unwritten:
            self._outlet.write(b"".join(unwritten))

    def has_room(self) -> bool:
        """Whether the peer takes deliveries now."""
        return not self._paused

    def takes_reply(self, size: int) -> bool:
        """Whether a reply of so many bytes is sent to the peer."""
        if self._paused:
            self._unread_replies += size
        return self._unread_replies <= MAX_REPLIES

    def pause(self) -> None:
        """Deliver no more, and read no more: the peer does not take what it is sent."""
        self._paused = True
        self._read_or_not()

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._unread_replies = 0
        self._take_untaken()
        for channel in self._channels.values():
            channel.wake()

    def publishes(self) -> None:
        """Note that the peer publishes, which an alarm blocks before the message has come."""
        alarm = self.broker.alarm
        if alarm is None or self._blocked:
            return
        self._blocked = True
        if self.wants("connection.blocked"):
            self.write(write_method(0, spec.Connection.Blocked(alarm)))
        self._read_or_not()
        self.broker.block(self)

    def unblock(self) -> None:
        """Let the peer publish again."""
        if not self._blocked:
            return
        self._blocked = False
        if self.wants("connection.blocked"):
            self.write(write_method(0, spec.Connection.Unblocked()))
        self._take_untaken()

    def wants(self, capability: str) -> bool:
        """Whether the peer has said that it is capable of something."""
        return self.capabilities.get(capability) is True

    def expect_content(self, size: int) -> None:
        """Make room for a body that is to come.

        :raises ContentTooLarge: when those that are to come on all channels are too much together.
        """
        if self._expected_bytes + size > MAX_MESSAGE:
            raise ContentTooLarge(
                f"unfinished messages of {self._expected_bytes + size} bytes, "
                f"of {MAX_MESSAGE} at most on one connection"
            )
        self._expected_bytes += size

    def content_ended(self, size: int) -> None:
        """Note that a body is complete, or does not come any more."""
        self._expected_bytes -= size

    def channel_ended(self, channel: Channel) -> None:
        """Forget a channel that is closed on both sides."""
        del self._channels[channel.number]

    def tuned(self, channel_max: int, frame_max: int, heartbeat: int) -> None:
        """Keep to what was agreed on."""
        self.channel_max = channel_max
        self.frame_max = frame_max
        self._outlet.tuned(heartbeat)

    def opened(self, access: Access) -> None:
        """Begin to work."""
        self._stop_timer()
        self.access = access
        self.vhost = self.broker.vhost(access.vhost)
        self._take = self._take_open

    def refuse_login(self, refusal: Refusal) -> None:
        """End the connection; only of a wrong login, and who can take it, is told so.

        That is RabbitMQ's extension.
        """
        if isinstance(refusal, LoginRefused) and self.wants("authentication_failure_close"):
            self._refuse(refusal)
        else:
            self._is_over = True
            self._outlet.close()

    def close_channels(self, refusal: Refusal) -> None:
        """Close all channels for a reason of the broker's own."""
        for channel in self._channels.values():
            channel.close(refusal)

    def close(self, reason: str = SHUTDOWN) -> None:
        """End the connection: the broker stops, or has another ``reason``."""
        if self._take == self._take_open:
            self._refuse(ConnectionForced(reason))
        else:
            self._outlet.abort()

    def _take_safely(self, kind: int, number: int, payload: bytes) -> None:
        """Take a frame; what it may not be, or we can't take, ends the connection."""
        try:
            self._take(kind, number, payload)
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:
            self._log.failure("the broker made a mistake")
            self._refuse(BrokerFault("a mistake of the broker's"))

    def _greet(self, data: bytes) -> bytes:
        """Take the protocol header (section 4.2.2); return what comes after it."""
        size = len(PROTOCOL_HEADER)
        if not any(each.startswith(data[:size]) for each in PROTOCOL_HEADERS):
            self._is_over = True
            self._outlet.write(PROTOCOL_HEADER)
            self._outlet.close()
            return b""
        if len(data) < size:
            self._greeting = data
            return b""
        self._greeting = None
        self._handshake.begin()
        return data[size:]

    def _take_handshake(self, kind: int, number: int, payload: bytes) -> None:
        if number != 0:
            raise misplaced_frame(kind, payload)
        self._take_method(kind, payload, self._handshake.take)

    def _take_open(self, kind: int, number: int, payload: bytes) -> None:
        channel = self._channels.get(number)
        if channel is not None:
            channel.take(kind, payload)
        elif number == 0:
            self._take_own(kind, payload)
        else:
            self._open_channel(kind, number, payload)

    def _take_own(self, kind: int, payload: bytes) -> None:
        """Take a frame of the connection itself."""
        self._take_method(kind, payload, self._take_own_method)

    def _take_method(self, kind: int, payload: bytes, take: Callable[[Any], None]) -> None:
        if kind == HEARTBEAT and not payload:
            return
        if kind != METHOD:
            raise unfit_frame(kind, 0, payload)
        try:
            take(read_method(payload))
        except Refusal as refusal:
            refusal.subject = method_of(payload)
            raise

    def _take_own_method(self, method: Any) -> None:
        if isinstance(method, spec.Connection.Close):
            self._end_channels()
            self.write(write_method(0, spec.Connection.CloseOk()))
            self._end()
        elif isinstance(method, spec.Connection.UpdateSecret):
            self.write(write_method(0, spec.Connection.UpdateSecretOk()))
        else:
            raise ChannelMisused("unexpected method in connection state running")

    def _open_channel(self, kind: int, number: int, payload: bytes) -> None:
        if kind != METHOD:
            raise unfit_frame(kind, number, payload)
        method = read_method(payload)
        if isinstance(method, spec.Channel.CloseOk):
            return  # both have closed it
        if not isinstance(method, spec.Channel.Open):
            refusal = ChannelMisused("expected 'channel.open'")
            refusal.subject = method_of(payload)
            raise refusal
        if len(self._channels) >= self.channel_max:
            raise NotAllowed(
                f"number of channels opened ({len(self._channels)}) has reached the "
                f"negotiated channel_max ({self.channel_max})"
            )
        channel = self._channels[number] = Channel(self, number)
        channel.send(spec.Channel.OpenOk())

    def _take_closing(self, kind: int, number: int, payload: bytes) -> None:
        """Wait for the answer to our ``connection.close``; nothing else is heeded."""
        if number != 0 or kind != METHOD:
            return
        method = read_method(payload)
        if isinstance(method, spec.Connection.Close):
            self.write(write_method(0, spec.Connection.CloseOk()))
        elif isinstance(method, spec.Connection.CloseOk):
            self._end()

    def _refuse(self, refusal: Refusal) -> None:
        """Close the connection for a reason."""
        if self._take == self._take_closing:
            return  # nonsense again
        self._log.info("{peer}: {text!r}", peer=self.peer.name, text=str(refusal))
        self._end_channels()
        text = shortened(refusal.reply_text)
        close = spec.Connection.Close(refusal.reply_code, text, *refusal.subject)
        self.write(write_method(0, close))
        self._take = self._take_closing
        self._abort_later()

    def _end_channels(self) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.end()
        if hasattr(self, "vhost"):
            self.vhost.connection_ended(self)

    def _end(self) -> None:
        """Close the network connection, when all is written."""
        self._is_over = True
        self.flush()
        self._abort_later()  # for one that does not take what it was sent
        self._outlet.close()

    def _take_untaken(self) -> None:
        while self.untaken and not (self._paused or self._blocked or self._is_over):
            self._take_safely(*self.untaken.popleft())
        self._read_or_not()

    def _read_or_not(self) -> None:
        self._outlet.read(not (self._paused or self._blocked))

    def _abort_later(self) -> None:
        self._stop_timer()
        self._timer = self.broker.turns.call_later(CLOSE_TIMEOUT, self._outlet.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
