"""A transport in memory, for protocols that half-close and abort."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides

if TYPE_CHECKING:
    from twisted.internet.protocol import Protocol


class Wire(StringTransport):
    """A transport in memory that ends its protocol's connection when it is told to."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.write_ended = False

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.end(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """Note a half-close, and tell the protocol that it has happened, if it wants to know."""
        self.write_ended = True
        half_closeable = IHalfCloseableProtocol(self.protocol, None)
        if half_closeable is not None:
            half_closeable.writeConnectionLost()

    def end(self, reason: Exception | None = None) -> None:
        """End the connection, cleanly unless there is another `reason`."""
        if self.connected:
            self.connected = False
            self.disconnecting = True
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class TCPWire(Wire):
    """A transport in memory that takes an option of TCP."""

    no_delay = False

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol)
        directlyProvides(self, ITCPTransport)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled
