"""Options of TCP in a broker's URL."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.amqp.broker_url import BrokerURL
from netdemo.amqp.tcp_options import TCPOptionsEndpoint
from netdemo.errors import BrokerURLError
from tests.resolving import ResolvingReactor

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocol

ALL = "{'TCP_KEEPIDLE': 60, 'TCP_KEEPINTVL': 7, 'TCP_KEEPCNT': 3, 'TCP_USER_TIMEOUT': 9000}"


class SocketTransport(StringTransport):
    """A transport in memory with a real socket, which is not connected."""

    def __init__(self) -> None:
        super().__init__()
        self.socket = socket.socket()

    def getHandle(self) -> socket.socket:
        """Return the socket, as transports of TCP do."""
        return self.socket


class TCPOptionsTests(SynchronousTestCase):
    """They are set on the socket when it is connected, or the URL is refused."""

    def setUp(self) -> None:
        self.transport = SocketTransport()
        self.addCleanup(self.transport.socket.close)

    def connect(self, url: str) -> Deferred[IProtocol]:
        """Connect a protocol to `url` in memory."""
        reactor = ResolvingReactor()
        endpoint = BrokerURL.parse(url).endpoint(reactor)
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        reactor.advance(0)
        protocol: Any = reactor.tcpClients[0][2].buildProtocol(None)
        protocol.makeConnection(self.transport)
        return connecting

    def options(self) -> list[int]:
        """Return what is set on the socket."""
        return [
            self.transport.socket.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        ]

    def test_provides_its_interface(self) -> None:
        inner = HostnameEndpoint(MemoryReactorClock(), b"mq.example", 1)
        self.assertTrue(verifyObject(IStreamClientEndpoint, TCPOptionsEndpoint(inner, {})))

    def test_they_are_set(self) -> None:
        self.successResultOf(self.connect(f"amqp://mq.example/?tcp_options={ALL}"))
        self.assertEqual([60, 7, 3, 9000], self.options())
        self.assertEqual(
            1, self.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        )

    def test_they_are_set_under_tls(self) -> None:
        self.successResultOf(self.connect(f"amqps://mq.example/?tcp_options={ALL}"))
        self.assertEqual([60, 7, 3, 9000], self.options())

    def test_connection_that_is_closed_already_is_none_the_worse(self) -> None:
        self.transport.socket.close()
        self.successResultOf(self.connect(f"amqp://mq.example/?tcp_options={ALL}"))

    def test_what_is_no_option_is_refused(self) -> None:
        for text, expected in (
            ("{'TCP_NODELAY': 1}", "expected a dictionary with some of TCP_KEEPCNT, "),
            ("{1: 1}", "expected a dictionary with some of TCP_KEEPCNT, "),
            ("None", "expected a dictionary with some of TCP_KEEPCNT, "),
            ("{'TCP_KEEPIDLE': 0}", "the system takes no TCP_KEEPIDLE of 0"),
            ("{'TCP_KEEPIDLE': None}", "the system takes no TCP_KEEPIDLE of None"),
            ("{'TCP_KEEPCNT': 1e9}", "the system takes no TCP_KEEPCNT of 1000000000.0"),
            ("{'TCP_KEEPCNT': 99999999999}", "the system takes no TCP_KEEPCNT of 99999999999"),
        ):
            error = self.assertRaises(
                BrokerURLError, BrokerURL.parse, f"amqp://mq.example/?tcp_options={text}"
            )
            self.assertIn(f"tcp_options: {expected}", str(error))
