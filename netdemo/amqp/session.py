"""One live connection to a broker, on pika's ``TwistedProtocolConnection``.

This is the only file that knows pika's Twisted adapter. The adapter keeps the real connection in
``_impl`` and offers no way to the broker's reason for a refusal, to a stalled close, or to
channels without its ``TwistedChannel``, whose publish results can be wrong, whose deliveries wait
in an unbounded queue, and whose Deferreds break when they are cancelled. So this file reaches
into ``_impl`` for ``pika.connection.Connection``, and the channels are plain
``pika.channel.Channel``.

Frames are cut and written here. Those of deliveries go to their channel, all others to pika. What
is sent while a read is being dealt with goes out in one write.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import pika.exceptions
from pika.adapters.twisted_connection import TwistedProtocolConnection
from pika.exceptions import InvalidFrameError
from pika.frame import Frame, Header, decode_frame
from pika.spec import Connection as ConnectionClass
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.channel import MAX_BODY, Channel
from netdemo.amqp.greeting import GREETING_SIZE, other_protocol
from netdemo.amqp.interfaces import ISession, Stage
from netdemo.connecting import connection_reason
from netdemo.errors import (
    ConnectionBlocked,
    ConnectionClosed,
    ConnectionClosedByUs,
    HandshakeTimeout,
    OtherProtocol,
)
from netdemo.frames import BODY, FrameReader, FrameTooLargeError, frame
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pika.connection import Connection, Parameters
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from netdemo.amqp.interfaces import IChannel
    from netdemo.transport import IStreamTransport

# What pika would log is reported here as results and reasons; without a handler of the
# application's own, Python would print it on stderr besides.
logging.getLogger("pika").addHandler(logging.NullHandler())

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds from TCP to an open AMQP connection, after which it is given up."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds for a polite close, after which the connection is aborted."""


@implementer(ISession, IHandshakeListener)
class Session(Protocol):
    """The client protocol of one AMQP connection; see `ISession`."""

    transport: IStreamTransport | None
    _log = Logger()

    def __init__(
        self,
        parameters: Parameters,
        clock: IReactorTime,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.opened: Deferred[ISession] = Deferred(lambda _: self.abort())
        self.closed: Deferred[ConnectionClosed] = Deferred()
        self.blocked: ConnectionBlocked | None = None
        self._on_blocked: Callable[[ConnectionBlocked | None], None] | None = None
        self._clock = clock
        self._handshake_timeout = handshake_timeout
        self._timer: IDelayedCall | None = None
        self._stage = Stage.CONNECTED
        self.server_properties: Mapping[str, Any] = {}
        self._reached: dict[Stage, Waiters[None]] = {stage: Waiters() for stage in Stage}
        self._greeting = b""
        self._frames = FrameReader()
        self.channels: dict[int, Channel] = {}
        self._reading = False
        self._unread: list[bytes] = []
        self._unwritten: list[bytes] = []
        self._soon: dict[Callable[[], None], None] = {}
        self._was_open = False
        self._reason: ConnectionClosed | None = None
        self._ended = False
        self._ending: Waiters[None] = Waiters()
        self._protocol = TwistedProtocolConnection(
            parameters,  # type: ignore[arg-type]  # URLParameters are as good
            custom_reactor=clock,
        )
        ready = self._protocol.ready  # it is None once it has fired
        assert ready is not None
        ready.addCallbacks(lambda _: self._open(), lambda _: None)
        self._connection: Connection = self._protocol._impl
        callbacks = self._connection.callbacks
        callbacks.add(0, ConnectionClass.Start, self._started)
        callbacks.add(0, ConnectionClass.Tune, lambda _: self._advance(Stage.LOGGED_IN))
        self._connection.add_on_connection_blocked_callback(self._was_blocked)
        self._connection.add_on_connection_unblocked_callback(self._was_unblocked)
        self._connection._output_marshaled_frames = self._write_frames  # type: ignore[method-assign,assignment]
        # Where pika gives up a connection: it would forget why, and wait without end for a peer
        # that is gone to take what is still unwritten.
        self._connection._adapter_disconnect_stream = self._disconnect  # type: ignore[method-assign]

    def connectionMade(self) -> None:
        assert self.transport is not None
        if ITCPTransport.providedBy(self.transport):
            # Else what follows an unanswered publish waits for the broker's delayed ACK of TCP.
            self.transport.setTcpNoDelay(True)
        self._start_timer(self._handshake_timeout, self._handshake_timed_out)
        self._protocol.makeConnection(self.transport)

    def handshakeCompleted(self) -> None:
        self._advance(Stage.SECURED)

    def dataReceived(self, data: bytes) -> None:
        if self._stage < Stage.STARTED:
            self._greeting = (self._greeting + data)[:GREETING_SIZE]
        self._unread.append(data)
        if self._reading:
            return  # a transport in memory answers at once: the loop below goes on
        self._reading = True
        try:
            while self._unread:
                self._read(self._unread.pop(0))
        except pika.exceptions.AMQPError as error:
            self._end(self._broken(error))
        except Exception as error:  # its fault or ours: pika does not look whether frames fit
            self._log.failure("a frame from the broker could not be dealt with")
            self._end(ConnectionClosed(f"a frame could not be dealt with: {error!r}"))
        finally:
            self._reading = False
            self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        self._stop_timer()
        if self._reason is None:
            self._reason = ConnectionClosed(_text(reason))
            self._reason.__cause__ = reason.value
        try:
            self._protocol.connectionLost(reason)
        finally:
            if self._was_open:
                self.closed.callback(self._reason)
            elif not self.opened.called:
                self.opened.errback(self._reason)
            for waiters in self._reached.values():
                waiters.errback(self._reason)
            self._ended = True
            self._ending.callback(None)

    def reached(self, stage: Stage) -> Deferred[None]:
        if self._stage >= stage:
            return succeed(None)
        if self._ended:
            return fail(self._reason)
        return self._reached[stage].wait()

    def watch_blocked(self, listener: Callable[[ConnectionBlocked | None], None]) -> None:
        self._on_blocked = listener

    def open_channel(self) -> Deferred[IChannel]:
        return Channel(self).open(self._connection)

    @property
    def reason(self) -> ConnectionClosed | None:
        """Why the connection has ended, or ends, if it does."""
        return self._reason

    def write(self, data: bytes) -> None:
        """Send ``data``, with all else that is sent while a read is being dealt with."""
        if self._reading:
            self._unwritten.append(data)
        elif self.transport is not None:
            self.transport.write(data)

    def soon(self, call: Callable[[], None]) -> None:
        """Call ``call`` once, when all that has arrived is dealt with."""
        if self._reading:
            self._soon[call] = None
        else:
            call()

    def close(self) -> Deferred[None]:
        if self.transport is None or self._ended:
            return succeed(None)
        ended = self._ending.wait()
        if self._reason is not None:
            return ended  # it is ending already
        if self._connection.is_open:
            self._reason = ConnectionClosedByUs("closed by us")
            self._start_timer(CLOSE_TIMEOUT, self.abort)
            self._call_soon()
            self._connection.close()
        else:
            self.abort()
        return ended

    def abort(self) -> None:
        self._end(ConnectionClosedByUs("aborted by us"))

    def _started(self, frame: Any) -> None:
        self.server_properties = frame.method.server_properties
        self._advance(Stage.STARTED)

    def _advance(self, stage: Stage) -> None:
        self._stage = stage
        self._reached[stage].callback(None)

    def _open(self) -> None:
        self._stop_timer()
        if not self.opened.called:  # else it was cancelled, and the connection is ending
            self._was_open = True
            self.opened.callback(self)
            self._advance(Stage.OPEN)

    def _was_blocked(self, _: object, frame: Any) -> None:
        self._change_blocked(ConnectionBlocked(frame.method.reason))

    def _was_unblocked(self, _: object, frame: object) -> None:  # noqa: ARG002
        self._change_blocked(None)

    def _change_blocked(self, reason: ConnectionBlocked | None) -> None:
        self.blocked = reason
        if self._on_blocked is not None:
            self._on_blocked(reason)

    def _handshake_timed_out(self) -> None:
        self._end(HandshakeTimeout(f"AMQP was not open within {self._handshake_timeout:g} s"))

    def _end(self, reason: ConnectionClosed) -> None:
        self._reason = self._reason or reason
        if self.connected:
            assert self.transport is not None
            self.transport.abortConnection()

    def _read(self, data: bytes) -> None:
        connection = self._connection
        connection.bytes_received += len(data)  # by which pika knows that the broker lives
        for kind, number, payload in self._frames.frames(data, connection.params.frame_max):
            if self._ended:
                return
            channel = self.channels.get(number)
            if channel is None or not channel.frame_received(kind, payload):
                connection._process_frame(_decoded(kind, number, payload))

    def _write_frames(self, frames: Sequence[bytes]) -> None:
        """Write all ``frames`` or none: RabbitMQ closes the connection for one that is too long."""
        longest = max(map(len, frames))
        frame_max = self._connection.params.frame_max
        if longest > frame_max:
            raise ValueError(f"a frame of {longest} bytes: expected at most {frame_max}")
        self.write(b"".join(frames))

    def _call_soon(self) -> None:
        soon, self._soon = self._soon, {}
        for call in soon:
            call()

    def _flush(self) -> None:
        """Write what has been collected."""
        self._call_soon()
        unwritten, self._unwritten = self._unwritten, []
        if unwritten and self.transport is not None:
            self.transport.write(b"".join(unwritten))

    def _broken(self, error: pika.exceptions.AMQPError) -> ConnectionClosed:
        """Return what is wrong with what has arrived."""
        if self._stage < Stage.STARTED and isinstance(error, FrameTooLargeError):
            return OtherProtocol(other_protocol(self._greeting))
        text = error.args[0] if error.args else type(error).__name__
        return ConnectionClosed(f"the broker broke the protocol: {text}")

    def _disconnect(self) -> None:
        error = self._connection._error
        if isinstance(error, pika.exceptions.ConnectionClosedByBroker):
            self._reason = ConnectionClosed(error.reply_text, error.reply_code)
        elif self._reason is None and isinstance(error, pika.exceptions.ConnectionBlockedTimeout):
            limit = self._connection.params.blocked_connection_timeout
            self._reason = ConnectionClosed(f"the broker took no messages for {limit:g} s")
        elif self._reason is None:
            self._reason = ConnectionClosed(repr(error))
        assert self.transport is not None
        self._start_timer(CLOSE_TIMEOUT, self.abort)
        self._flush()
        self.transport.loseConnection()

    def _start_timer(self, delay: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(delay, call)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _decoded(kind: int, number: int, payload: bytes) -> Frame:
    """Decode a frame in pika's place, which raises anything and keeps any number of pieces."""
    if kind == BODY and not payload:
        raise InvalidFrameError("a piece of a message that is empty")
    try:
        _, decoded = decode_frame(frame(kind, number, payload))
    except Exception as error:
        raise InvalidFrameError(f"a frame that can't be decoded: {error!r}") from error
    if isinstance(decoded, Header) and decoded.body_size > MAX_BODY:
        raise InvalidFrameError(f"a message of {decoded.body_size} bytes, of {MAX_BODY} at most")
    assert isinstance(decoded, Frame)
    return decoded


def _text(reason: Failure) -> str:
    assert reason.value is not None
    if reason.check(ConnectionDone):
        return "the broker closed the connection without a word"
    if reason.check(ConnectionLost):
        return "the connection was lost"
    return connection_reason(reason.value)
