"""The echo server for datagrams (RFC 862, UDP based echo service)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import execute
from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol

from netdemo.listening import PortService

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort, IUDPTransport

ECHO_PORT: Final = 7
"""Where echo servers are by convention (RFC 862)."""

MAX_DATAGRAM: Final = 65535
"""Longest datagram in bytes (RFC 768). Twisted would cut what is longer than 8192."""


class DatagramEchoProtocol(DatagramProtocol):
    """Sends each datagram back to where it came from.

    Those from port 7 and from the port that this one listens on are `ignored` (counted): they
    come from an echo server there, or in its name, and the two would answer each other for ever.
    Those that the kernel does not take back at once are `dropped` (counted), as UDP allows.
    """

    noisy = False
    transport: IUDPTransport

    def __init__(self) -> None:
        self.ignored = self.dropped = 0

    def startProtocol(self) -> None:
        self._echo_servers = {ECHO_PORT, self.transport.getHost().port}

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if addr[1] in self._echo_servers:
            self.ignored += 1
            return
        try:
            self.transport.write(datagram, addr)
        except (OSError, MessageLengthError):
            self.dropped += 1


class DatagramEchoService(PortService):
    """Echoes datagrams on `port` of the interface with the address `host`, while it runs."""

    def __init__(self, host: str, port: int, reactor: Any) -> None:
        super().__init__(f"UDP port {port} of {host}")
        self.host = host
        self.port = port
        self.protocol = DatagramEchoProtocol()
        self._reactor = reactor

    def open_port(self) -> Deferred[IListeningPort]:
        return execute(
            self._reactor.listenUDP,
            self.port,
            self.protocol,
            interface=self.host,
            maxPacketSize=MAX_DATAGRAM,
        )
