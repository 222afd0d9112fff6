"""A pull route with TCP clients in memory, on a broker in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdemo.address import QueueDestination
from netdemo.bridge.pull import PullFactory, PullProtocol
from netdemo.bridge.routes import PullRoute
from tests.memory_clients import QUEUE, MemoryClientTestCase
from tests.wire import Wire

if TYPE_CHECKING:
    from twisted.internet.protocol import Protocol


class ReadWire(Wire):
    """A transport that asks a pull producer at once, as that of TCP does.

    Its kernel takes what was written when `take` is called.
    """

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol)
        self.written: list[bytes] = []

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        producer.resumeProducing()

    def write(self, data: bytes) -> None:
        super().write(data)
        self.written.append(data)

    def take(self) -> bytes:
        """Let the kernel take all that there is; return what was written since the last time."""
        while self.connected and self.producer is not None:
            self.producer.resumeProducing()
        data: bytes = self.value()
        self.clear()
        return data


class PullTestCase(MemoryClientTestCase):
    """A pull route from the queue, for which nobody is connected yet."""

    ack = False
    options: dict[str, Any] = {}  # noqa: RUF012

    def setUp(self) -> None:
        super().setUp()
        options = {"prefetch": 3, **self.options}
        self.factory = PullFactory(
            PullRoute(QueueDestination(QUEUE), "tcp:7002", ack=self.ack, **options), self.client
        )
        self.addCleanup(self.end_all)
        self.network.advance()

    def end_all(self) -> None:
        """End all connections."""
        for protocol in list(self.factory.connections):
            protocol.transport.end()
        self.network.advance()

    def connect(self) -> tuple[PullProtocol, ReadWire]:
        """Connect a TCP client; it is consumed for."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, PullProtocol)
        wire = ReadWire(protocol)
        protocol.makeConnection(wire)
        self.network.advance()
        return protocol, wire
