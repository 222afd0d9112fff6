"""The poetry server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import alsoProvides, implementer

from netdemo.listening import GRACE, GracefulService, LimitedFactory
from netdemo.poetry.file import PoemFile
from netdemo.poetry.lingering import Lingering
from netdemo.poetry.sending import send
from netdemo.transport import address_text, end_writing, lowest, write_and_end

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from twisted.application.service import MultiService
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport

SMALL: Final = 64 * 1024
"""Largest file in bytes that is handed over in one write: what a transport buffers anyway."""


@implementer(IHandshakeListener)
class PoetryProtocol(Protocol):
    """Sends the factory's file as fast as the peer takes it, then closes.

    The file is opened for this connection, so a replaced file is read by those who come later.
    What the peer sends is dropped; that it has nothing to say does not end the poem.
    """

    factory: PoetryFactory
    transport: IStreamTransport
    _log = Logger()
    _poem: PoemFile | None = None
    _sent = False
    _peer_ended = False

    def connectionMade(self) -> None:
        if isinstance(self.transport, TLSMemoryBIOProtocol):
            self.factory.lingering.add(self)
        else:
            self._send()

    def handshakeCompleted(self) -> None:
        """Begin: TLS that is closed before, after an empty poem, is aborted."""
        self.factory.lingering.discard(self)
        self._send()

    def _send(self) -> None:
        try:
            self._poem = PoemFile(self.factory.path)
            if self._poem.size <= SMALL and self.factory.rate is None:
                self._send_at_once(self._poem.read(SMALL))
                return
        except OSError as error:
            self._log.error(
                "cannot read {path}: {reason}", path=self.factory.path, reason=error.strerror
            )
            self._send_at_once(b"")
            return
        alsoProvides(self, IHalfCloseableProtocol)
        sending = send(self._poem, self.transport, self.factory.clock, self.factory.rate)
        sending.addCallbacks(lambda _: self._finish(), self._broken_off)
        sending.addErrback(lambda failure: self._log.failure("sending a poem", failure))

    def dataReceived(self, data: bytes) -> None:  # noqa: ARG002
        if self._sent:
            self.factory.lingering.add(self)

    def _send_at_once(self, poem: bytes) -> None:
        self._linger()
        if not write_and_end(self.transport, poem):
            alsoProvides(self, IHalfCloseableProtocol)

    def _finish(self) -> None:
        self._linger()
        if self._peer_ended:
            self.transport.loseConnection()
        else:
            end_writing(self.transport)

    def _linger(self) -> None:
        self._sent = True
        self._close_poem()
        self.factory.lingering.add(self)

    def _close_poem(self) -> None:
        if self._poem is not None:
            self._poem.close()
            self._poem = None

    def _broken_off(self, reason: Failure) -> None:
        if reason.check(ConnectionLost):
            return
        # The peer has not the whole, and it must not look so: hence no orderly close.
        self.transport.abortConnection()
        if reason.check(ConnectionError):  # of a peer that has left, as the kernel tells it
            return
        reason.trap(OSError)
        self._log.error(
            "stopped sending {path} to {peer}: {reason}",
            path=self.factory.path,
            peer=address_text(self.transport.getPeer()),
            reason=getattr(reason.value, "strerror", None),
        )

    # `IHalfCloseableProtocol`, which is provided while something may still wait to be sent. When
    # nothing does, a peer that ends its side has closed.

    def readConnectionLost(self) -> None:
        """Go on sending: the peer has only said that it will say nothing."""
        self._peer_ended = True
        if self._sent:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: the peer has the end of the poem, and is given time to close."""

    def timeoutConnection(self) -> None:
        """Close first: the peer has not, and has said nothing for a while.

        What it has not read yet is still sent. Under TLS it is TCP that is closed, since TLS
        waits for the peer.
        """
        lowest(self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._close_poem()
        self.factory.lingering.discard(self)
        self.factory.connection_ended(self)


class PoetryFactory(LimitedFactory):
    """Builds servers of the file at `path`, at most `rate` bytes a second to each connection."""

    def __init__(
        self,
        path: Path,
        clock: IReactorTime,
        *,
        rate: int | None = None,
        max_connections: int | None = None,
    ) -> None:
        super().__init__(max_connections)
        self.path = path
        self.rate = rate
        self.clock = clock
        self.lingering = Lingering(clock)

    def new_protocol(self) -> PoetryProtocol:
        return PoetryProtocol()


def poetry_service(
    path: Path,
    endpoints: Sequence[str],
    reactor: Any,
    *,
    rate: int | None = None,
    max_connections: int | None = None,
    grace: float = GRACE,
) -> MultiService:
    """Stream the file at ``path`` on each of ``endpoints`` (Twisted server endpoint strings).

    ``rate`` is in bytes per second for each connection; ``max_connections`` counts over all
    endpoints together; ``grace`` is the time in seconds that transfers have to end when the
    service stops.
    """
    factory = PoetryFactory(path, reactor, rate=rate, max_connections=max_connections)
    return GracefulService(endpoints, factory, reactor, grace)
