"""A connection in memory: what is written to one end moves to the other when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IAddress, IProtocol

HIGH_WATER: Final = 64 * 1024
"""Bytes that wait for the other end above which a producer is paused, as with TCP."""

PIECE: Final = 64 * 1024
"""Bytes that are handed on at once, as one read of a socket's is."""


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """One end of a connection in memory; nothing is called before `move` is."""

    _log = Logger()
    protocol: IProtocol
    other: MemoryTransport

    def __init__(self, host: IAddress, peer: IAddress) -> None:
        self.connected = True
        self.disconnecting = False
        self._host = host
        self._peer = peer
        self._waiting = bytearray()
        self._reading = True
        self._aborted = False
        self._ending: tuple[Exception, Exception] | None = None
        """Why it ends, here and there, when all is delivered."""
        self._ended_there: Exception | None = None
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        if not self.connected or self._aborted:
            return
        self._waiting += data
        if len(self._waiting) > HIGH_WATER and self._streaming and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all of ``data``."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """End the connection when all is delivered."""
        self.disconnecting = True
        self._ending = self._ending or (ConnectionDone(), ConnectionDone())

    def abortConnection(self) -> None:
        """End the connection now; the other end is told, unless the network stalls."""
        self.disconnecting = self._aborted = True

    def fail(self) -> None:
        """End the connection when all is delivered, as when the network fails."""
        self._ending = ConnectionLost(), ConnectionLost()

    def getHost(self) -> IAddress:
        """Return the address of this end."""
        return self._host

    def getPeer(self) -> IAddress:
        """Return the address of the other end."""
        return self._peer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take ``producer``, to be paused while much waits, or asked when nothing does."""
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer}: {self._producer} is registered")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = not streaming

    def unregisterProducer(self) -> None:
        """Forget the producer: it has written all it had."""
        self._producer = None
        self._streaming = self._producer_paused = False

    def pauseProducing(self) -> None:
        """Give the protocol nothing more for now."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Go on."""
        self._reading = True

    def stopProducing(self) -> None:
        """End the connection when all is delivered."""
        self.loseConnection()

    def move(self, stalled: bool) -> bool:
        """Do the next thing that is due at this end; tell whether there was any.

        While the network is ``stalled`` that is no more than to end an aborted connection.
        """
        if not self.connected:
            return False
        if self._aborted:
            self._end(ConnectionAborted(), ConnectionLost())
            return True
        if stalled:
            return False
        if self._ended_there is not None:
            self._end(self._ended_there, ConnectionDone())
            return True
        return self._hand_on()

    def _hand_on(self) -> bool:
        """Hand a piece on to the other end; or ask the producer for one, or end."""
        if self._waiting:
            if not self.other._reading:
                return False
            piece = bytes(self._waiting[:PIECE])
            del self._waiting[:PIECE]
            self.other._receive(piece)
            return True
        if self._producer_paused:
            self._producer_paused = not self._streaming
            self._producer.resumeProducing()
            return True
        if self._ending is not None:
            self._end(*self._ending)
            return True
        return False

    def _receive(self, data: bytes) -> None:
        if not self.connected or self._aborted:
            return
        try:
            self.protocol.dataReceived(data)
        except Exception:
            self._log.failure("{protocol} raised an exception", protocol=self.protocol)
            self.abortConnection()

    def _end(self, here: Exception, there: Exception) -> None:
        self.connected = False
        self.other._ended_there = self.other._ended_there or there
        self._waiting.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(Failure(here))


class MemoryConnection:
    """Two ends that are joined. While it is `stalled` nothing moves between them."""

    def __init__(self, client: MemoryTransport, server: MemoryTransport) -> None:
        self.client = client
        self.server = server
        self.stalled = False
        client.other, server.other = server, client

    @property
    def ended(self) -> bool:
        """Whether both ends have been told of the end."""
        return not (self.client.connected or self.server.connected)

    def cut(self) -> None:
        """End the connection, as when the network fails; what is on its way is lost."""
        for end in (self.client, self.server):
            end._ended_there = ConnectionLost()

    def kill_server(self) -> None:
        """End the server's end at once, as when its process ends; the client learns of it later."""
        if self.server.connected:
            self.server._end(ConnectionLost(), ConnectionLost())

    def move(self) -> bool:
        """Let each end do the next thing that is due; tell whether there was any."""
        moved = self.server.move(self.stalled)
        return self.client.move(self.stalled) or moved
