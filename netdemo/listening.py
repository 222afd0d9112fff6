"""Listening on endpoints, and stopping: connections have a limit, and time to end."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from netdemo.errors import StartupError
from netdemo.transport import address_text
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import (
        IAddress,
        IListeningPort,
        IProtocol,
        IProtocolFactory,
        IReactorTime,
    )
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport

GRACE: Final = 5.0
"""Seconds that connections have to end when their service stops."""


class PortService(Service):
    """Listens on `place`, so named in errors and in the log, while it runs.

    Starting raises `StartupError` when that can't be listened on, a port in use for example, so
    that a service which looks alive is alive.
    """

    _log = Logger()
    _listening: Deferred[IListeningPort | None] | None = None
    _port: IListeningPort | None = None

    def __init__(self, place: str) -> None:
        self.place = place

    @property
    def address(self) -> IAddress | None:
        """Where it listens, with the port that the system has chosen where that was to be 0.

        ``None`` while it does not listen.
        """
        return None if self._port is None else self._port.getHost()

    def open_port(self) -> Deferred[IListeningPort]:
        """Listen; fire with the port, or fail with the reason."""
        raise NotImplementedError

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        if self._listening is None:
            self._listen()
        super().startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        listening, self._listening = self._listening, None
        self._port = None
        if listening is None:
            return succeed(None)
        listening.cancel()
        return listening.addCallback(_stop_listening)

    def _listen(self) -> None:
        refusals: list[Failure] = []

        def listens(port: IListeningPort) -> IListeningPort:
            self._port = port
            return port

        def refused(failure: Failure) -> None:
            refusals.append(failure)
            if self._listening is not None:  # no endpoint of Twisted itself refuses so late
                self._log.failure("cannot listen on {endpoint}", failure, endpoint=self.place)

        listening = self.open_port().addCallbacks(listens, refused)
        if refusals:
            raise StartupError(f"cannot listen on {self.place}: {_reason(refusals[0])}")
        self._listening = listening


class ListeningService(PortService):
    """Listens on an endpoint string while it runs.

    Paths in the endpoint are those of the directory where the service is built: twistd changes it
    after that.

    :raises ValueError: or what else its parser raises, for a malformed endpoint.
    """

    def __init__(self, endpoint: str, factory: IProtocolFactory, reactor: Any) -> None:
        super().__init__(endpoint)
        self.endpoint = endpoint
        self._server = _lasting(serverFromString(reactor, endpoint))
        self._factory = factory

    def open_port(self) -> Deferred[IListeningPort]:
        listening: Deferred[IListeningPort] = self._server.listen(self._factory)
        return listening


def _lasting(server: Any) -> Any:
    """Have an endpoint, also one behind haproxy, mean the same whenever it is listened on.

    The path of a unix socket is made absolute. A socket that systemd handed over is kept open:
    Twisted closes it once it has a copy, and who listened there again would get whatever has its
    number by then.
    """
    inner = getattr(server, "_wrappedEndpoint", server)
    if isinstance(inner, UNIXServerEndpoint) and not inner._address.startswith("\0"):
        inner._address = os.path.abspath(inner._address)
    elif isinstance(inner, AdoptedStreamServerEndpoint):
        adopting: Any = inner
        adopting._close = _leave_open
    return server


def _leave_open(descriptor: int) -> None:
    """Do nothing."""


def _stop_listening(port: IListeningPort | None) -> Deferred[None]:
    stopping = None if port is None else port.stopListening()
    return stopping or succeed(None)


def _reason(refusal: Failure) -> object:
    # An OSError is that of a socket's lock file, an OverflowError a port's beyond 65535.
    refusal.trap(CannotListenError, OSError, OverflowError)
    if isinstance(refusal.value, CannotListenError):
        error = refusal.value.socketError
        return getattr(error, "strerror", None) or error
    return refusal.value


def check_endpoint(endpoint: str, reactor: Any) -> str:
    """Return ``endpoint`` when it is a well-formed server endpoint string.

    :raises ValueError: in one line, when it is not.
    """
    try:
        serverFromString(reactor, endpoint)
    except Exception as error:  # each endpoint parser raises what its parsing happens to raise
        raise ValueError(
            f"bad endpoint {endpoint!r}: {_first_line(error)}; "
            "expected a Twisted endpoint such as tcp:1234:interface=127.0.0.1"
        ) from error
    return endpoint


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


class Refused(Protocol):
    """Aborts a connection over the limit, which TLS would not close before it has shaken hands."""

    transport: IStreamTransport

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class LimitedFactory(Factory):
    """A server factory with at most `max_connections` open; those over it are aborted at once.

    A refusal is logged and counted in `refused`. ``None`` is no limit. Protocols that it builds
    tell it of their end with `connection_ended`.
    """

    noisy = False
    where = ""
    """How a line in the log begins, where there is more than one such factory."""
    _log = Logger()

    def __init__(self, max_connections: int | None = None) -> None:
        self.max_connections = max_connections
        self.connections: set[Any] = set()
        self.refused = 0
        self._emptied: Waiters[None] = Waiters()

    def buildProtocol(  # type: ignore[override]  # any IProtocol will do
        self, addr: IAddress | None
    ) -> IProtocol:
        if self.max_connections is not None and len(self.connections) >= self.max_connections:
            self.refused += 1
            self._log.warn(
                "{where}refused {peer}: {limit} connections are open, the limit",
                where=self.where,
                peer=address_text(addr),
                limit=self.max_connections,
            )
            return Refused()  # the factories of TLS and haproxy can't do with None
        protocol = self.new_protocol()
        protocol.factory = self  # type: ignore[attr-defined]
        self.connections.add(protocol)
        return protocol

    def new_protocol(self) -> IProtocol:
        """Build the protocol of one connection."""
        raise NotImplementedError

    def connection_ended(self, protocol: IProtocol) -> None:
        """Make room for another connection."""
        self.connections.discard(protocol)
        if not self.connections:
            self._emptied.callback(None)

    def when_empty(self) -> Deferred[None]:
        """Fire when no connection is open."""
        return self._emptied.wait() if self.connections else succeed(None)

    async def end_connections(self, grace: float, clock: IReactorTime) -> None:
        """Give connections ``grace`` seconds to end, abort the others; return with the last."""
        ending = set(self.connections)
        with suppress(DeferredTimeout):
            await self.when_empty().addTimeout(grace, clock)
        for protocol in ending & self.connections:  # none that came when it was started again
            protocol.transport.abortConnection()
        await self.when_empty()


class GracefulService(MultiService):
    """Listens on each of ``endpoints`` with one `factory`; each child is named as its endpoint.

    Stopping it closes the listeners, gives connections `grace` seconds to end, and aborts those
    that are left; ``stopService`` fires when the last is gone. When starting raises
    `StartupError`, the endpoints before the one that it names listen, until it is stopped.
    """

    def __init__(
        self, endpoints: Sequence[str], factory: LimitedFactory, reactor: Any, grace: float
    ) -> None:
        super().__init__()
        self.factory = factory
        self.grace = grace
        self._reactor = reactor
        for endpoint in endpoints:
            service = ListeningService(endpoint, factory, reactor)
            service.setName(endpoint)
            service.setServiceParent(self)

    def stopService(self) -> Deferred[None]:
        ending = self.factory.end_connections(self.grace, self._reactor)
        stopping = [super().stopService(), Deferred.fromCoroutine(ending)]
        return gatherResults(stopping).addCallback(lambda _: None)
