"""The echo client (RFC 862): it sends, and finds out whether every byte comes back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from netdemo.connecting import connect, connection_reason
from netdemo.errors import EchoError
from netdemo.pausing import PausingConsumer
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport

PATIENCE: Final = 30
"""Seconds of silence, while bytes are expected, after which a server is given up."""

WINDOW: Final = 1024 * 1024
"""Bytes under way, to the server and back, at which a producer is paused."""

SHOWN: Final = 16
"""Bytes of a wrong answer that an error shows."""


def echo(endpoint: IStreamClientEndpoint, message: bytes, clock: IReactorTime) -> Deferred[bytes]:
    """Send ``message`` to the server at ``endpoint``, and close when it is back.

    Fires with what came back: the message, whole, whatever its size and however it was cut. Fails
    with `EchoError` when there is no connection, the server closes early or says nothing for
    `PATIENCE` seconds, and at the first byte that is wrong. All that arrives until the message is
    complete is compared; what comes after that is not. Cancelling it ends the connection at once.
    """

    async def exchange() -> bytes:
        async with echo_client(endpoint, clock) as client:
            client.write(message)
            await client.when_back()
            await client.close()
        return message

    return Deferred.fromCoroutine(exchange())


@asynccontextmanager
async def echo_client(
    endpoint: IStreamClientEndpoint, clock: IReactorTime
) -> AsyncIterator[EchoClient]:
    """Lend a client that is connected; it is aborted afterwards if it was not closed.

    :raises EchoError: when there is no connection, with the reason in a few words.
    """
    client = EchoClient(clock)
    try:
        await connect(endpoint, client)
    except CancelledError:
        raise
    except Exception as error:  # each endpoint fails with what its connecting happens to raise
        raise EchoError(connection_reason(error)) from error
    try:
        yield client
    finally:
        client.abort()


@implementer(IConsumer, IPushProducer)
class EchoClient(PausingConsumer, Protocol, TimeoutMixin):
    """Sends what is written to it, and compares what comes back byte for byte, until it is closed.

    It is a consumer, whose producer is paused while `WINDOW` bytes are under way, and a push
    producer for whoever takes the echo: every chunk that arrives, right or wrong, is handed to
    `received`. So it never holds more than its window and one write. The connection ends at the
    first wrong byte, or after `PATIENCE` seconds without an answer.

    `sent` and `back` count the bytes that were written and those that came back right.
    """

    transport: IStreamTransport

    def __init__(
        self, clock: IReactorTime, received: Callable[[bytes], object] = lambda _: None
    ) -> None:
        self.callLater = clock.callLater  # type: ignore[assignment,method-assign]
        self.received = received
        self.sent = self.back = 0
        self._expected = bytearray()
        self._paused = False
        self._half_closed = self._closing = self._ended = False
        self._error: EchoError | None = None
        self._back: Waiters[None] = Waiters()
        self._end: Waiters[None] = Waiters()

    # What one who sends calls.

    def write(self, data: bytes) -> None:
        """Send ``data`` and expect it back; nothing is sent once it was closed or has ended."""
        if self._closing or self._ended:
            return
        self.sent += len(data)
        self._expected += data
        self.transport.write(data)
        if self.timeOut is None:
            self._watch()
        if len(self._expected) >= WINDOW:
            self._pause_producer()

    def half_close(self) -> None:
        """Tell the server that nothing more comes. TLS has no half-close: there it does nothing."""
        if not (self._ended or ISSLTransport.providedBy(self.transport)):
            self._half_closed = True
            self.transport.loseWriteConnection()

    def when_back(self) -> Deferred[None]:
        """Fire when every byte that was sent is back; fail with `EchoError` if one won't be."""
        if self._expected and not self._ended:
            return self._back.wait()
        return succeed(None) if self._error is None else fail(self._error)

    def when_ended(self) -> Deferred[None]:
        """Fire when the connection has ended by `close`; fail with `EchoError` if otherwise."""
        if not self._ended:
            return self._end.wait()
        return succeed(None) if self._error is None else fail(self._error)

    def close(self) -> Deferred[None]:
        """Close the connection, and abort it if that lasts for `PATIENCE` seconds.

        One that is half-closed is left to the server to close, and compared until then. Fires when
        it has ended; fails with `EchoError` if it had ended by itself before, if not every byte
        was back, or if a server that was to close sent more.
        """
        if not self._ended:
            self._closing = True
            self.setTimeout(PATIENCE)
            self.transport.resumeProducing()  # TLS reads until the server has closed too
            if not self._half_closed:
                self.transport.loseConnection()
        return self.when_ended()

    def abort(self) -> None:
        """End the connection at once, if it has not ended."""
        if not self._ended:
            self.transport.abortConnection()

    # What one who takes the echo calls.

    def pauseProducing(self) -> None:
        self._paused = True
        if not (self._closing or self._ended):
            self.transport.pauseProducing()
            self._watch()

    def resumeProducing(self) -> None:
        self._paused = False
        if not (self._closing or self._ended):
            self.transport.resumeProducing()
            self._watch()

    def stopProducing(self) -> None:
        """End the connection: nobody takes the echo."""
        self.abort()

    # What the transport calls.

    def dataReceived(self, data: bytes) -> None:
        if self._error is not None or (self._closing and not self._half_closed):
            return
        if self._expected.startswith(data):
            right = len(data)
        else:
            right, self._error = self._difference(data)
        self.back += right
        del self._expected[:right]
        self._watch()
        self.received(data)
        if self._error is not None:
            self.abort()
            return
        if len(self._expected) <= WINDOW // 2:
            self._resume_producer()
        if not self._expected:
            self._back.callback(None)

    def timeoutConnection(self) -> None:
        """Give the server up: it does not answer, or does not close."""
        if self.timeOut:
            # If this process was stopped meanwhile, an answer is there, and is read in this turn.
            self.setTimeout(0)
            return
        if not self._closing:
            self._error = EchoError(f"no answer for {PATIENCE} seconds: {self._count()}")
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = True
        self.setTimeout(None)
        if self._error is None and (self._expected or not self._closing):
            self._error = EchoError(self._early(reason.value or ConnectionDone()))
        self._stop_producer()
        self.unregisterProducer()
        if self._error is None:
            self._end.callback(None)
        else:
            self._back.errback(self._error)
            self._end.errback(self._error)

    def _watch(self) -> None:
        """Wait for the server while bytes are expected, and read. Closing has a time of its own."""
        if not self._closing:
            self.setTimeout(PATIENCE if self._expected and not self._paused else None)

    def _early(self, reason: BaseException) -> str:
        """Say why the connection has ended before it was closed."""
        match reason:
            case ConnectionDone():
                return f"closed early: {self._count()}"
            case ConnectionClosed():
                return f"closed early: {self._count()} ({connection_reason(reason)})"
        return connection_reason(reason)  # that of TLS, which made no connection of it

    def _count(self) -> str:
        return f"{self.back} of {self.sent} bytes came back"

    def _difference(self, data: bytes) -> tuple[int, EchoError]:
        """Return how many bytes of ``data`` are right, and what is wrong with the next."""
        pairs = enumerate(zip_longest(data, self._expected))
        right = next(at for at, (got, wanted) in pairs if got != wanted)
        expected = bytes(self._expected[right : right + SHOWN])
        received = data[right : right + SHOWN]
        if not expected:
            return right, EchoError(f"more came back than was sent: {received!r}")
        return right, EchoError(
            f"different answer after {self.back + right} right bytes: "
            f"expected {expected!r}, received {received!r}"
        )
