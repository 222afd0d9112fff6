"""A TCP proxy with what may happen to a connection on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone

from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress, IDelayedCall
    from twisted.python.failure import Failure

LOOPBACK = "127.0.0.1"


class End(Protocol):
    """One end of a connection through the proxy: what it receives leaves by the `other` one."""

    transport: Any
    other: End | None = None
    _passing: IDelayedCall | None = None

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._received = bytearray()

    def connectionMade(self) -> None:
        self._proxy.ends.add(self)
        self.transport.setTcpNoDelay(True)

    def join(self, other: End) -> None:
        """Have each side pause the other when it takes no more."""
        for one, another in ((self, other), (other, self)):
            one.other = another
            one.transport.registerProducer(another.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if self._passing is None:
            self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._proxy.ends.discard(self)
        self._stop_passing()
        if self.other is not None:
            self.other.transport.write(bytes(self._received))
            self.other.transport.unregisterProducer()
            self.other.transport.loseConnection()
            self.other.other = None
        self._proxy.end_lost()

    def stall(self) -> None:
        """Let nothing pass any more, not even the end of the connection."""
        self.other = None
        self._stop_passing()
        self.transport.unregisterProducer()
        self.transport.pauseProducing()

    def _wait(self) -> None:
        self.transport.pauseProducing()
        self._passing = self._proxy.call_later(self._pass_on)

    def _stop_passing(self) -> None:
        passing, self._passing = self._passing, None
        if passing is not None:
            passing.cancel()

    def _pass_on(self) -> None:
        self._passing = None
        if self.other is None:
            return  # it was lost meanwhile, and this end is closing
        piece = self._received[: self._proxy.piece]
        del self._received[: len(piece)]
        self.other.transport.write(bytes(piece))
        if self._received:
            self._wait()
        else:
            self.transport.resumeProducing()


class Near(End):
    """The end that was connected to; nothing is read from it before there is another one."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.pauseProducing()
        self._connecting = self._proxy.connect()
        self._connecting.addCallbacks(self._connected, lambda _: self.transport.abortConnection())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connecting.cancel()
        super().connectionLost(reason)

    def _connected(self, far: End) -> None:
        self.join(far)
        self.transport.resumeProducing()


class Proxy(Factory):
    """Forwards what connects to it to a port of this machine, with the faults of the moment.

    What is received waits for `delay` seconds, and goes on `piece` bytes at a time.
    """

    noisy = False

    def __init__(self, reactor: Any, port: int) -> None:
        self.delay = 0.0
        self.piece = 65536
        self.ends: set[End] = set()
        self._reactor = reactor
        self._target = TCP4ClientEndpoint(reactor, LOOPBACK, port)
        self._listening: Any = None
        self._all_lost: Waiters[None] = Waiters()

    async def start(self, port: int = 0) -> int:
        """Listen, on any port if none is said; return the port."""
        endpoint = TCP4ServerEndpoint(self._reactor, port, interface=LOOPBACK)
        self._listening = await endpoint.listen(self)
        return int(self._listening.getHost().port)

    async def stop(self) -> None:
        """Listen no more, and end every connection."""
        await self._listening.stopListening()
        if self.ends:
            lost = self._all_lost.wait()
            self.reset()
            await lost

    def cut(self) -> None:
        """Close every connection."""
        for end in list(self.ends):
            end.transport.loseConnection()

    def reset(self) -> None:
        """Reset every connection."""
        for end in list(self.ends):
            end.transport.abortConnection()

    def stall(self) -> None:
        """Leave every connection half-open, as when a machine has gone; later ones are whole."""
        for end in list(self.ends):
            end.stall()

    def buildProtocol(self, address: IAddress | None) -> End:  # noqa: ARG002
        return Near(self)

    def connect(self) -> Deferred[Any]:
        """Connect another end to the target."""
        return self._target.connect(Factory.forProtocol(lambda: End(self)))

    def call_later(self, call: Callable[[], None]) -> IDelayedCall:
        """Call after the delay."""
        timer: IDelayedCall = self._reactor.callLater(self.delay, call)
        return timer

    def end_lost(self) -> None:
        """Tell who waits for the last one."""
        if not self.ends:
            self._all_lost.callback(None)
