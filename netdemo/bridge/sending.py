"""Sending records to TCP clients, as fast as each takes them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from netdemo.bridge.clients import LINGER, RouteFactory
from netdemo.transport import address_text, lowest

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.bridge.routes import ClientRoute
    from netdemo.transport import IStreamTransport

PIECE: Final = 64 * 1024
"""Bytes of records, or one record, that a client is written before it has taken the last such."""


@implementer(IPullProducer)
class SendingProtocol(Protocol, TimeoutMixin):
    """Writes records, each once what was written before is with the kernel.

    The transport asks a pull producer for more when all that was written has gone to the kernel.
    (With TLS it is when that is encrypted, and little of it waits; before both sides have shaken
    hands nothing is.) The rest waits here, and can be given up. A client that for the route's
    ``idle_timeout`` takes nothing of what there is for it is dropped; one for whom there is nothing
    is not idle. What it sends is dropped; when it closes or half-closes, it has left.
    """

    factory: SendingFactory
    transport: IStreamTransport
    _log = Logger()
    _written = 0
    _written_bytes = 0
    _producing = False
    ended = False

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        """Records that are not written yet."""

    def connectionMade(self) -> None:
        self.callLater = self.factory.clock.callLater  # type: ignore[assignment,method-assign]
        self._tls = _tls_under(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.ended = True
        self.setTimeout(None)
        self.factory.connection_ended(self)

    def send(self, data: bytes) -> None:
        """Write ``data`` when it is its turn."""
        if self.ended:
            return
        self.waiting.append(data)
        if not self._producing:
            self.go_on()

    def sent(self, count: int, size: int) -> None:
        """Note that the next ``count`` records, of so many bytes, are with the kernel."""
        raise NotImplementedError

    def room(self) -> int:
        """Return how many records more may be written."""
        return len(self.waiting)

    def idle(self) -> bool:
        """Tell whether there is nothing for the client to take, now that all is written."""
        return not self.waiting

    def go_on(self) -> None:
        """Write what waits, if there is room now."""
        if self.waiting and not self._producing and not self.ended and self.room() > 0:
            self._producing = True
            if self.timeOut is None:
                self.setTimeout(self.factory.route.idle_timeout)
            self.transport.registerProducer(self, False)  # which asks at once

    def resumeProducing(self) -> None:
        """Write the next piece: what was written last is with the kernel now."""
        if self.ended:
            return
        if self._tls is not None and lowest(self._tls).disconnecting:
            self.transport.unregisterProducer()  # it has ended, and would drop what it is given
            return
        if self._written:
            count, size = self._written, self._written_bytes
            self._written = 0
            self.resetTimeout()
            self.sent(count, size)
        piece = self._next_piece()
        if piece:
            self._written, self._written_bytes = len(piece), sum(map(len, piece))
            self._write(b"".join(piece))
        elif self._producing:
            self._producing = False
            self.transport.unregisterProducer()
            if self.idle():
                self.setTimeout(None)

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def timeoutConnection(self) -> None:
        self.factory.idle += 1
        self._log.warn(
            "{route}: {peer} took nothing for {seconds:g} s",
            route=self.factory.route,
            peer=address_text(self.transport.getPeer()),
            seconds=self.timeOut,
        )
        self.abort()

    def abort(self) -> None:
        """End the connection, and forget what waits."""
        self.ended = True
        self.waiting.clear()
        self.transport.abortConnection()

    def _write(self, data: bytes) -> None:
        if self._tls is None:
            self.transport.write(data)
        else:  # at once: it gathers small writes for a turn, and asks for more of them meanwhile
            TLSMemoryBIOProtocol.write(self._tls, data)

    def _next_piece(self) -> list[bytes]:
        piece: list[bytes] = []
        size = 0
        room = self.room()
        while self.waiting and size < PIECE and len(piece) < room:
            piece.append(self.waiting.popleft())
            size += len(piece[-1])
        return piece


def _tls_under(transport: Any) -> TLSMemoryBIOProtocol | None:
    """Return what encrypts what is written to ``transport``, also behind haproxy, if it does."""
    while not isinstance(transport, TLSMemoryBIOProtocol):
        if not hasattr(transport, "transport"):
            return None
        transport = transport.transport
    return transport


class SendingFactory(RouteFactory):
    """Has records for clients. `idle` counts those that were dropped since they took nothing."""

    def __init__(self, route: ClientRoute, clock: IReactorTime) -> None:
        super().__init__(route)
        self.clock = clock
        self.idle = 0

    def stop(self) -> Deferred[None]:
        """Have every client take, or answer, what is to come to it yet; fire when all are gone.

        Clients are closed when they have, and aborted after `LINGER` seconds.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.stopping = True
        protocol: Any
        for protocol in list(self.connections):
            protocol.stop()
        await self.end_connections(LINGER, self.clock)
        self.stopping = False
