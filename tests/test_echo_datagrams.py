"""The echo server for datagrams."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import FakeDatagramTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from netdemo.echo import echo_service
from netdemo.echo.datagrams import DatagramEchoProtocol, DatagramEchoService
from netdemo.errors import StartupError

PEER = ("127.0.0.1", 50000)
LARGEST = 65507
"""What is left of 65535 bytes after the headers of IPv4 and UDP."""


class Datagrams(FakeDatagramTransport):
    """A port in memory."""

    refusal: Exception | None = None

    def getHost(self) -> IPv4Address:
        return IPv4Address("UDP", "127.0.0.1", 1234)

    def write(self, packet: bytes, addr: object = None) -> None:
        if self.refusal is not None:
            raise self.refusal
        super().write(packet, addr)


class DatagramEchoTests(SynchronousTestCase):
    """A port in memory."""

    def setUp(self) -> None:
        self.protocol = DatagramEchoProtocol()
        self.transport = Datagrams()
        self.protocol.makeConnection(self.transport)

    def test_datagram_goes_back_to_where_it_came_from(self) -> None:
        self.protocol.datagramReceived(b"\x00hello", PEER)
        self.assertEqual([(b"\x00hello", PEER)], self.transport.written)

    def test_empty_datagram_goes_back_too(self) -> None:
        self.protocol.datagramReceived(b"", PEER)
        self.assertEqual([(b"", PEER)], self.transport.written)

    def test_datagram_from_the_echo_port_is_not_answered(self) -> None:
        self.protocol.datagramReceived(b"hello", ("192.0.2.1", 7))
        self.assertEqual(([], 1), (self.transport.written, self.protocol.ignored))

    def test_datagram_from_our_own_port_is_not_answered(self) -> None:
        self.protocol.datagramReceived(b"hello", ("192.0.2.1", 1234))
        self.assertEqual(([], 1), (self.transport.written, self.protocol.ignored))

    def test_datagram_that_the_kernel_does_not_take_is_dropped(self) -> None:
        full = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        for refusal in (full, MessageLengthError("message too long")):
            self.transport.refusal = refusal
            self.protocol.datagramReceived(b"hello", PEER)
        self.transport.refusal = None
        self.protocol.datagramReceived(b"again", PEER)
        self.assertEqual([(b"again", PEER)], self.transport.written)
        self.assertEqual(2, self.protocol.dropped)


class DatagramReactor:
    """Keeps which UDP ports it gave are `open`."""

    def __init__(self) -> None:
        self.open: list[tuple[str, int]] = []

    def listenUDP(self, port: int, _: DatagramProtocol, interface: str, **__: int) -> OpenPort:
        return OpenPort(self.open, (interface, port))


class OpenPort:
    """A port of a `DatagramReactor`."""

    def __init__(self, ports: list[tuple[str, int]], port: tuple[str, int]) -> None:
        ports.append(port)
        self.stopListening = lambda: ports.remove(port)


class DatagramEchoServiceTests(SynchronousTestCase):
    """The service of one port."""

    def setUp(self) -> None:
        self.reactor = DatagramReactor()
        self.service = DatagramEchoService("127.0.0.1", 1234, self.reactor)

    def test_it_is_a_service(self) -> None:
        self.assertTrue(verifyObject(IService, self.service))

    def test_it_listens_while_it_runs(self) -> None:
        self.service.startService()
        self.assertEqual([("127.0.0.1", 1234)], self.reactor.open)
        self.successResultOf(self.service.stopService())
        self.assertEqual([], self.reactor.open)

    def test_it_listens_once_when_it_is_started_with_privileges(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        self.assertEqual([("127.0.0.1", 1234)], self.reactor.open)

    def test_it_can_be_stopped_before_it_was_started(self) -> None:
        self.successResultOf(self.service.stopService())

    def test_port_in_use_is_one_line(self) -> None:
        in_use = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

        def refuse(*_: object, **__: object) -> None:
            raise CannotListenError("127.0.0.1", 1234, in_use)

        self.patch(self.reactor, "listenUDP", refuse)
        error = self.assertRaises(StartupError, self.service.startService)
        self.assertEqual(
            "cannot listen on UDP port 1234 of 127.0.0.1: Address already in use", str(error)
        )


class Client(DatagramProtocol):
    """Sends datagrams of the given sizes; `received` fires with the sizes that came back."""

    transport: Any

    def __init__(self, server: Any, *sizes: int) -> None:
        self.received: Deferred[list[int]] = Deferred()
        self._server = server
        self._sizes = sizes
        self._received: list[int] = []

    def startProtocol(self) -> None:
        for size in self._sizes:
            self.transport.write(bytes(size), (self._server.host, self._server.port))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: ARG002
        self._received.append(len(datagram))
        if len(self._received) == len(self._sizes):
            self.received.callback(self._received)


class SocketTests(TestCase):
    """Real datagrams on the loopback."""

    timeout = 30

    async def round_trip(self, interface: str, *sizes: int) -> list[int]:
        """Return the sizes of the datagrams that come back for those of `sizes`."""
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as free:
            free.bind((interface, 0))
            port = free.getsockname()[1]
        service = echo_service([], reactor, udp=(interface, port))
        service.startService()
        self.addCleanup(service.stopService)
        (datagrams,) = service
        udp_reactor: Any = reactor
        client = Client(IPv4Address("UDP", interface, datagrams.port), *sizes)
        listening = udp_reactor.listenUDP(0, client, interface=interface, maxPacketSize=65535)
        self.addCleanup(listening.stopListening)
        return await client.received

    async def test_datagrams_of_every_size_come_back_whole(self) -> None:
        sizes = [0, 1, 8192, 8193, LARGEST]
        self.assertEqual(sizes, await self.round_trip("127.0.0.1", *sizes))

    async def test_datagrams_come_back_over_ipv6(self) -> None:
        self.assertEqual([5], await self.round_trip("::1", 5))
