"""The echo server (RFC 862, TCP based echo service)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from netdemo.echo.datagrams import DatagramEchoService
from netdemo.listening import GRACE, GracefulService, LimitedFactory
from netdemo.transport import unacknowledged, write_at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.application.service import MultiService
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoProtocol(Protocol, TimeoutMixin):
    """Sends back what it receives, and no faster than the peer takes it.

    It is the producer of its own transport: while more than that buffers (64 KiB) waits to be
    sent, nothing more is read from a peer that does not read.
    """

    factory: EchoFactory
    transport: IStreamTransport
    _untaken = 0

    def connectionMade(self) -> None:
        self.callLater = self.factory.clock.callLater  # type: ignore[assignment,method-assign]
        self.transport.registerProducer(self, True)
        self.setTimeout(self.factory.idle_timeout)

    def dataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        write_at_once(self.transport, data)

    def readConnectionLost(self) -> None:
        """Send what is left, then close: the peer has half-closed and waits for its echo."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on: the peer has taken what waited for it, so it is not idle."""
        self.resetTimeout()
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        """Drop a peer that for `idle_timeout` seconds sent nothing and took nothing."""
        before, self._untaken = self._untaken, unacknowledged(self.transport)
        if self._untaken not in (0, before):  # some of it was taken meanwhile
            self.setTimeout(self.factory.idle_timeout)
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.setTimeout(None)
        self.factory.connection_ended(self)


class EchoFactory(LimitedFactory):
    """Builds echo servers; `idle_timeout` is in seconds, ``None`` for no limit."""

    def __init__(
        self,
        clock: IReactorTime,
        *,
        idle_timeout: float | None = None,
        max_connections: int | None = None,
    ) -> None:
        super().__init__(max_connections)
        self.clock = clock
        self.idle_timeout = idle_timeout

    def new_protocol(self) -> EchoProtocol:
        return EchoProtocol()


def echo_service(
    endpoints: Sequence[str],
    reactor: Any,
    *,
    udp: tuple[str, int] | None = None,
    idle_timeout: float | None = None,
    max_connections: int | None = None,
    grace: float = GRACE,
) -> MultiService:
    """Echo on each of ``endpoints`` (Twisted server endpoint strings), and datagrams on ``udp``.

    ``udp`` is an interface's address and a port. ``idle_timeout`` and ``grace``, the time that
    connections have to end when the service stops, are in seconds; ``max_connections`` counts over
    all endpoints together.
    """
    factory = EchoFactory(reactor, idle_timeout=idle_timeout, max_connections=max_connections)
    service = GracefulService(endpoints, factory, reactor, grace)
    if udp is not None:
        DatagramEchoService(*udp, reactor).setServiceParent(service)
    return service
