"""The broker on the network: a protocol for each connection, and the service around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import MultiService
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.broker.broker import Broker
from netdemo.broker.connection import Connection
from netdemo.broker.login import peer_of
from netdemo.broker.memory import MAX_MEMORY
from netdemo.broker.store import open_store
from netdemo.broker.users import Users, guest_only
from netdemo.broker.wire import HEARTBEAT_FRAME
from netdemo.listening import GRACE, GracefulService, LimitedFactory
from netdemo.transport import write_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocol, IReactorTime
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport

_MISSED_HEARTBEATS: Final = 2
"""So many intervals without a byte end a connection (section 4.2.7)."""

MAX_UNTAKEN: Final = 256
"""Frames that a peer which takes nothing may have said, above which it is not read from."""


@implementer(IPushProducer)
class BrokerProtocol(Protocol):
    """Carries bytes between the network and a `Connection`; see `netdemo.broker.connection.Outlet`.

    It is the producer of its own transport, so it is told when the peer does not take what it is
    sent.
    """

    _log = Logger()
    transport: IStreamTransport
    factory: BrokerFactory

    def __init__(self, broker: Broker, clock: IReactorTime) -> None:
        self.broker = broker
        self._clock = clock
        self._connection: Connection | None = None
        self._reading = True
        self._is_full = False
        self._heartbeats = LoopingCall(self._beat)
        self._heartbeats.clock = clock
        self._has_written = self._has_read = False
        self._silent = 0

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self._connection = Connection(self.broker, peer_of(self.transport), self)

    def dataReceived(self, data: bytes) -> None:
        if not self._has_read and self._connection is not None:
            self._connection.peer = peer_of(self.transport)  # TLS has shaken hands by now
        self._has_read = True
        if not self._reading:
            self.transport.pauseProducing()  # it was a look at whether the peer lives
        if self._connection is not None:
            self.broker.turns.run(self._connection.receive, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._stop_heartbeats()
        self.factory.connection_ended(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            self.broker.turns.run(connection.ended)

    def pauseProducing(self) -> None:
        self._is_full = True
        if self._connection is not None:
            self._connection.pause()

    def resumeProducing(self) -> None:
        self._is_full = False
        if self._connection is not None:
            self.broker.turns.run(self._connection.resume)

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` comes."""

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        self._has_written = True
        write_at_once(self.transport, data)

    def read(self, reading: bool) -> None:
        """Read on, or don't."""
        if reading is not self._reading:
            self._reading = reading
            (self.transport.resumeProducing if reading else self.transport.pauseProducing)()

    def tuned(self, heartbeat: float) -> None:
        """Send heartbeats, and expect them, so many seconds apart; 0 for none."""
        if heartbeat:
            beating = self._heartbeats.start(heartbeat / 2, now=False)
            beating.addErrback(lambda reason: self._log.failure("heartbeats ended", reason))

    def close(self) -> None:
        """End the connection when all is sent, or when the peer takes too long to take it."""
        self._stop_heartbeats()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """End the connection now."""
        self.transport.abortConnection()

    def _beat(self) -> None:
        """Say something, if nothing was said; end the connection when the peer says nothing.

        One that does not take what it is sent is read from once, to see whether it lives, unless
        it has said much already. One that an alarm blocks is not.
        """
        if not self._has_written:
            self.transport.write(HEARTBEAT_FRAME)
        connection = self._connection
        look = self._is_full and connection is not None and len(connection.untaken) < MAX_UNTAKEN
        is_heard = self._reading or look
        self._silent = 0 if self._has_read or not is_heard else self._silent + 1
        if look:
            self.transport.resumeProducing()
        self._has_read = self._has_written = False
        if self._silent > 2 * _MISSED_HEARTBEATS:
            self.abort()

    def _stop_heartbeats(self) -> None:
        if self._heartbeats.running:
            self._heartbeats.stop()


class BrokerFactory(LimitedFactory):
    """Builds a protocol for each connection to `broker`, which is there while it listens."""

    broker: Broker

    def __init__(self, clock: IReactorTime, max_connections: int | None = None) -> None:
        super().__init__(max_connections)
        self._clock = clock

    def new_protocol(self) -> IProtocol:
        return BrokerProtocol(self.broker, self._clock)

    async def end_connections(self, grace: float, clock: IReactorTime) -> None:
        if self.connections:
            for connection in list(self.broker.connections):
                self.broker.turns.run(connection.close)
        await super().end_connections(grace, clock)


class BrokerService(MultiService):
    """Runs the broker that ``make_broker`` returns, on what ``listening`` listens on.

    `broker` is ``None`` while it does not run. Starting raises `StartupError` when an endpoint
    can't be listened on, or the store can't be used. Stopping tells the peers that it stops, gives
    them time to close, and fires when the store is closed.
    """

    def __init__(
        self, make_broker: Callable[[], Broker], factory: BrokerFactory, listening: GracefulService
    ) -> None:
        super().__init__()
        self.broker: Broker | None = None
        self._make_broker = make_broker
        self._factory = factory
        listening.setServiceParent(self)

    def privilegedStartService(self) -> None:
        self._start_broker()
        super().privilegedStartService()

    def startService(self) -> None:
        self._start_broker()
        super().startService()

    def stopService(self) -> Deferred[None]:
        stopping: Deferred[None] = super().stopService()
        return stopping.addCallback(lambda _: self._stop_broker())

    def _start_broker(self) -> None:
        # Not before: twistd forks when everything is built, and a store has a thread.
        if self.broker is None:
            self.broker = self._factory.broker = self._make_broker()

    def _stop_broker(self) -> Deferred[None] | None:
        broker, self.broker = self.broker, None
        return None if broker is None else broker.stop()


def broker_service(
    endpoints: Sequence[str],
    reactor: Any,
    *,
    store: Path | None = None,
    users: Users | None = None,
    max_memory: int = MAX_MEMORY,
    max_connections: int | None = None,
    grace: float = GRACE,
) -> BrokerService:
    """Run a broker on ``endpoints``, with what is durable in the folder ``store``, if there is one.

    Without ``users`` there is the user guest, who may log in from this machine alone. Above
    ``max_memory`` bytes of messages publishers are blocked. Peers have ``grace`` seconds to close.
    """

    def make_broker() -> Broker:
        opened = None if store is None else open_store(store, reactor)
        return Broker(reactor, users or guest_only(), opened, max_memory)

    factory = BrokerFactory(reactor, max_connections)
    listening = GracefulService(endpoints, factory, reactor, grace)
    return BrokerService(make_broker, factory, listening)
