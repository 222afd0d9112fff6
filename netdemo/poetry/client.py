"""The poetry client: what a server sends until it closes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from netdemo.connecting import connect
from netdemo.errors import PoemTooLongError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProducer, IStreamClientEndpoint
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport

MAX_POEM: Final = 64 * 1024 * 1024
"""Bytes that `get_poem` keeps in memory."""


def download(endpoint: IStreamClientEndpoint, consumer: IConsumer) -> Deferred[int]:
    """Connect to ``endpoint`` and write to ``consumer`` what comes from there, as it comes.

    ``consumer`` is given a streaming producer: while it pauses that, nothing more is read from the
    server. It loses the producer when the Deferred fires.

    Fires with the number of bytes when the server has closed cleanly. TCP alone can't tell a
    poem's end from that of a server which was stopped; TLS can, and does. Fails with
    Twisted's connection errors when there is no connection or when it ends otherwise, with
    ``ConnectionAborted`` when ``consumer`` has stopped its producer, and with what ``consumer``
    raises. Cancelling it, at any moment, aborts the connection.
    """
    return Deferred.fromCoroutine(_download(endpoint, consumer))


def get_poem(endpoint: IStreamClientEndpoint, limit: int = MAX_POEM) -> Deferred[bytes]:
    """Connect to ``endpoint`` and fire with all that comes from there.

    Fails and is cancelled as `download` is, and fails with `PoemTooLongError` as soon as there
    are more than ``limit`` bytes.
    """
    poem = MemoryConsumer(limit)
    return download(endpoint, poem).addCallback(lambda _: poem.value())


async def _download(endpoint: IStreamClientEndpoint, consumer: IConsumer) -> int:
    protocol = DownloadProtocol(consumer)
    await connect(endpoint, protocol)
    try:
        consumer.registerProducer(protocol, True)
    except Exception as error:  # it has another producer, perhaps
        protocol.fail(error)
        return await protocol.ended
    try:
        return await protocol.ended
    finally:
        consumer.unregisterProducer()


@implementer(IPushProducer)
class DownloadProtocol(Protocol):
    """Writes to ``consumer`` what it receives.

    It is the producer itself, not its transport, so that a consumer which stops it does not make
    a part of a poem look like the whole. `ended` fires with the number of bytes received, and
    fails, as `download` does.
    """

    transport: IStreamTransport

    def __init__(self, consumer: IConsumer) -> None:
        self.ended: Deferred[int] = Deferred(lambda _: self.fail(CancelledError()))
        self._consumer = consumer
        self._received = 0

    def connectionMade(self) -> None:
        # Nothing is sent, so nothing else would find out that the server's machine has gone.
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpKeepAlive(True)

    def dataReceived(self, data: bytes) -> None:
        if self.ended.called:
            return
        self._received += len(data)
        try:
            self._consumer.write(data)
        except Exception as error:  # whatever a consumer fails with
            self.fail(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.ended.called:
            return
        if reason.check(ConnectionDone):
            self.ended.callback(self._received)
        else:
            self.ended.errback(reason)

    def fail(self, error: Exception) -> None:
        """Fail with ``error`` and leave the server."""
        self.ended.errback(error)
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.transport.abortConnection()


@implementer(IConsumer)
class MemoryConsumer:
    """Keeps what it is sent, up to ``limit`` bytes; more raises `PoemTooLongError`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts = BytesIO()

    def value(self) -> bytes:
        """Return all that was written."""
        return self._parts.getvalue()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Do nothing: memory is never slow."""

    def unregisterProducer(self) -> None:
        """Do nothing."""

    def write(self, data: bytes) -> None:
        if self._parts.tell() + len(data) > self._limit:
            raise PoemTooLongError(f"poem too long: expected at most {self._limit} bytes")
        self._parts.write(data)
