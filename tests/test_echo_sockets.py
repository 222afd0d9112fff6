"""The echo server on real sockets of the loopback."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone

from netdemo.echo.server import EchoFactory, EchoProtocol
from tests.sockets import HAPROXY, TLS, UNIX, SocketTestCase

if TYPE_CHECKING:
    from twisted.python.failure import Failure

KIB = 1024
MIB = 1024 * KIB
TLS_OVERHEAD = 8 * KIB
"""More than TLS adds to what it encrypts of 128 KiB: 22 bytes for each 16 KiB, and alignment."""


class MeasuredProtocol(EchoProtocol):
    """Tells its factory when its reading pauses, and how much has waited to be sent at most."""

    factory: MeasuredFactory
    transport: Any

    def makeConnection(self, transport: Any) -> None:
        self._tcp = tcp = getattr(transport, "transport", transport)
        # A small one, so that it is our buffer that fills.
        tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIB)
        pause = tcp.pauseProducing

        def pause_and_tell() -> None:
            pause()
            if not self.factory.paused.called:
                self.factory.paused.callback(self)

        tcp.pauseProducing = pause_and_tell
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        waiting = len(self._tcp.dataBuffer) - self._tcp.offset + self._tcp._tempDataLen
        waiting += sum(map(len, getattr(self.transport, "_appSendBuffer", ())))
        self.factory.most_waiting = max(self.factory.most_waiting, waiting)

    def reads(self) -> bool:
        """Tell whether more would be read."""
        return self._tcp in self.factory.clock.getReaders()


class MeasuredFactory(EchoFactory):
    """Builds measured servers; `paused` fires with the first that pauses."""

    clock: Any

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.paused: Deferred[MeasuredProtocol] = Deferred()
        self.most_waiting = 0

    def new_protocol(self) -> EchoProtocol:
        return MeasuredProtocol()


class Client(Protocol):
    """Sends `data`, and closes when as much came back; `received` fires with that.

    One that is not `reading` stops after the first byte, when TLS has shaken hands, until it is
    told to go on.
    """

    transport: Any

    def __init__(self, data: bytes, reading: bool = True) -> None:
        self.received: Deferred[bytes] = Deferred()
        self._data = data
        self._reading = reading
        self._missing = len(data)
        self._parts: list[bytes] = []

    def connectionMade(self) -> None:
        self.transport.write(self._data[:1])
        if self._reading:
            self.transport.write(self._data[1:])

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)
        if not self._reading and len(self._parts) == 1:
            self.transport.pauseProducing()
            self.transport.write(self._data[1:])
        self._missing -= len(data)
        if self._missing == 0:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ConnectionDone):
            self.received.callback(b"".join(self._parts))
        else:
            self.received.errback(reason)


class Peer(Protocol):
    """Says nothing; `ended` fires when its connection has ended."""

    transport: Any

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.ended.callback(None)


class HalfClosingClient(Client):
    """Half-closes when it has sent everything, and waits for the server to close."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self._missing = -1
        self.transport.loseWriteConnection()


class EchoTestCase(SocketTestCase):
    """A test with a measured server."""

    overhead = 0

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.factory = MeasuredFactory(self.reactor)
        self.endpoint = await self.serve(self.factory)


class TCPTests(EchoTestCase):
    """TCP."""

    async def test_megabyte_comes_back(self) -> None:
        data = bytes(range(256)) * 4 * KIB
        client = Client(data)
        await connectProtocol(self.endpoint, client)
        self.assertTrue(await client.received == data)

    async def test_nothing_is_read_from_a_peer_that_does_not_read(self) -> None:
        client = Client(bytes(16 * MIB), reading=False)
        await connectProtocol(self.endpoint, client)
        server = await self.factory.paused
        reads = server.reads()
        client.transport.resumeProducing()
        await client.received
        self.assertFalse(reads)

    async def test_buffer_for_a_peer_that_reads_late_is_bounded(self) -> None:
        client = Client(bytes(16 * MIB), reading=False)
        await connectProtocol(self.endpoint, client)
        await self.factory.paused
        client.transport.resumeProducing()
        self.assertEqual(16 * MIB, len(await client.received))
        # What is over its limit of 64 KiB is at most one read.
        self.assertLessEqual(self.factory.most_waiting, 64 * KIB + 64 * KIB + self.overhead)


class UnixTests(TCPTests):
    """A unix socket."""

    server = UNIX


class TLSTests(TCPTests):
    """TLS."""

    server = TLS
    overhead = TLS_OVERHEAD


class HalfCloseTests(EchoTestCase):
    """A client that half-closes, which TLS does not know."""

    async def test_it_has_all_of_its_megabytes_back(self) -> None:
        data = bytes(range(256)) * 16 * KIB
        client = HalfClosingClient(data)
        await connectProtocol(self.endpoint, client)
        self.assertTrue(await client.received == data)


class LimitTests(EchoTestCase):
    """A connection over the limit, on TCP."""

    async def test_it_is_ended_at_once(self) -> None:
        self.factory.max_connections = 1
        held, refused = Peer(), Peer()
        await connectProtocol(self.endpoint, held)
        await connectProtocol(self.endpoint, refused)
        await refused.ended
        self.assertEqual((1, 1), (self.factory.refused, len(self.factory.connections)))
        held.transport.abortConnection()
        await held.ended


class TLSLimitTests(LimitTests):
    """The same over TLS."""

    server = TLS


class HAProxyLimitTests(LimitTests):
    """The same behind haproxy."""

    server = HAPROXY
