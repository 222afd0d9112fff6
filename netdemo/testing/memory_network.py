"""A network in memory, and its time: nothing happens but in `MemoryNetwork.advance`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from zope.interface import implementer

from netdemo.testing.memory_transport import MemoryConnection, MemoryTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IProtocolFactory

    from netdemo.amqp import BrokerURL

MAX_ROUNDS: Final = 100_000
"""Rounds at one moment after which it is taken for granted that there is no end to them."""

_LOOPBACK: Final = "127.0.0.1"
_FIRST_PORT: Final = 49152
"""Where the port numbers of clients begin."""


class NeverIdle(AssertionError):
    """Something goes on and on at one moment in time."""


class _RoundEnds(Exception):
    """What was due is done."""


class MemoryNetwork:
    """Ports by the names of their hosts, connections to them, and the clock of all."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = Clock() if clock is None else clock
        self.ports: dict[str, MemoryPort] = {}
        self._advancing = False

    def listen(self, host: str) -> MemoryPort:
        """Return the port of a new host."""
        if host in self.ports:
            raise ValueError(f"there is a host {host!r} already")
        port = self.ports[host] = MemoryPort()
        return port

    def endpoint(self, url: BrokerURL, reactor: object) -> IStreamClientEndpoint:  # noqa: ARG002
        """Return the way to the broker at ``url``, for `AMQPClient`; of TLS nothing is done."""
        host = url.parameters.host
        return MemoryEndpoint(self.ports.get(host), host)

    def advance(self, seconds: float = 0) -> None:
        """Let time pass, and whatever happens in it, until at its end nothing moves any more.

        :raises NeverIdle: when it does not come to that.
        """
        if self._advancing:
            raise RuntimeError("time can't be advanced by what happens in it")
        self._advancing = True
        try:
            self._advance(self.clock.seconds() + seconds)
        finally:
            self._advancing = False

    def _advance(self, end: float) -> None:
        self._settle()
        while (due := self.next_call()) is not None and due <= end:
            self._pass(due - self.clock.seconds())
            self._settle()
        self._pass(end - self.clock.seconds())

    def _settle(self) -> None:
        for _ in range(MAX_ROUNDS):
            due = self.next_call()
            is_due = due is not None and due <= self.clock.seconds()
            if is_due:
                self._pass(0)
            moved = [port.move() for port in list(self.ports.values())]
            if not (is_due or any(moved)):
                return
        raise NeverIdle(f"not idle after {MAX_ROUNDS} rounds at {self.clock.seconds():g} s")

    def next_call(self) -> float | None:
        """Return when the clock calls next, ``None`` for never."""
        return min((call.getTime() for call in self.clock.getDelayedCalls()), default=None)

    def _pass(self, seconds: float) -> None:
        """Let time pass and call what is due then, but not what that makes due at once."""
        ending = self.clock.callLater(max(seconds, 0), _end_round)
        try:
            self.clock.advance(max(seconds, 0))
        except _RoundEnds:
            pass
        finally:
            if ending.active():
                ending.cancel()


def _end_round() -> None:
    raise _RoundEnds


class MemoryPort:
    """Where a host is connected to: `factory` builds what answers, ``None`` refuses.

    While it is `stalled`, nothing moves on its connections, and no new one is made.
    """

    def __init__(self) -> None:
        self.factory: IProtocolFactory | None = None
        self.stalled = False
        self.connections: list[MemoryConnection] = []
        self._attempts: deque[tuple[IProtocolFactory, Deferred[IProtocol]]] = deque()
        self._next_port = _FIRST_PORT

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fire with a protocol of the client's ``factory`` when it is connected."""
        connecting: Deferred[IProtocol] = Deferred()
        self._attempts.append((factory, connecting))
        return connecting

    def cut(self) -> None:
        """End all connections, as when the network fails; what is on its way is lost."""
        for connection in self.connections:
            connection.cut()

    def move(self) -> bool:
        """Let the next thing happen on each connection; tell whether there was any."""
        moved = False
        while self._attempts and not self.stalled:
            moved = True
            self._accept(*self._attempts.popleft())
        for connection in list(self.connections):
            connection.stalled = self.stalled
            moved = connection.move() or moved
            if connection.ended:
                self.connections.remove(connection)
        return moved

    def _accept(self, factory: IProtocolFactory, connecting: Deferred[IProtocol]) -> None:
        if connecting.called:
            return  # it was cancelled
        if self.factory is None:
            connecting.errback(ConnectionRefusedError())
            return
        address = IPv4Address("TCP", _LOOPBACK, self._next_port)
        host = IPv4Address("TCP", _LOOPBACK, 5672)
        self._next_port += 1
        client, server = factory.buildProtocol(host), self.factory.buildProtocol(address)
        if client is None or server is None:
            connecting.errback(connectionDone)
            return
        ends = MemoryTransport(address, host), MemoryTransport(host, address)
        self.connections.append(MemoryConnection(*ends))
        for end, protocol in zip(ends, (client, server), strict=True):
            end.protocol = protocol
        server.makeConnection(ends[1])
        client.makeConnection(ends[0])
        connecting.callback(client)


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """Connects to a port in memory; to none, as to a host that nobody knows."""

    def __init__(self, port: MemoryPort | None, host: str) -> None:
        self._port = port
        self._host = host

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Fire with the protocol when it is connected, which is in `MemoryNetwork.advance`."""
        if self._port is None:
            unknown: Deferred[IProtocol] = Deferred()
            unknown.errback(DNSLookupError(f"no host {self._host!r} in this network"))
            return unknown
        return self._port.connect(protocolFactory)
