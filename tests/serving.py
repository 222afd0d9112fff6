"""A serve route on a broker in memory, with a caller, and the TCP server's end in a test's hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from netdemo.address import parse_destination
from netdemo.amqp import RPCClient
from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.bridge.routes import ServeRoute
from netdemo.bridge.serve import ServeService
from tests.memory_clients import QUEUE, MemoryClientTestCase
from tests.wire import Wire

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.logger import ILogObserver


class ServeTestCase(MemoryClientTestCase):
    """A serve route, `route`, which runs; nothing of TCP happens but what a test does."""

    servers = 1
    reply_timeout = 5
    destination = f"/queue/{QUEUE}"
    framing = "line"

    def setUp(self) -> None:
        super().setUp()
        self.reactor = MemoryReactorClock()
        self.attempts = 0
        self.logged: list[str] = []
        self.calls: list[Deferred[bytes]] = []
        observer = cast("ILogObserver", self._log)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.caller = RPCClient(self.client)
        self.server = self.add_client()
        route = ServeRoute(
            parse_destination(self.destination),
            "tcp:10.0.0.1:7006",
            servers=self.servers,
            timeout=self.reply_timeout,
            max_record=10,
            framing=self.framing,
        )
        self.route = ServeService(route, self.server, self.reactor)
        self.wires: list[Wire] = []
        self.addCleanup(self._end)
        self.route.startService()
        self.network.advance()

    def _log(self, event: Any) -> None:
        if event["log_namespace"].startswith("netdemo.bridge.serve"):
            self.logged.append(event["log_format"].format(**event))

    def _end(self) -> None:
        """Stop the route, whatever state it is in; nothing may be left."""
        for call in self.calls:
            call.addErrback(lambda _: None)
        if self.route.running:
            stopped = self.route.stopService()
            self.advance(STOP_TIMEOUT)
            self.successResultOf(stopped)
        self.network.advance(100)  # the broker looks whether requests have expired
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse(any(wire.connected for wire in self.wires))

    def advance(self, seconds: float = 0) -> None:
        """Let time pass."""
        self.network.advance()
        self.reactor.advance(seconds)
        self.network.advance(seconds)

    def attempting(self) -> int:
        """Return how many attempts to connect have no result."""
        return len(self.reactor.tcpClients) - self.attempts

    def accept(self) -> Wire:
        """Let the oldest attempt to connect succeed; return its connection."""
        factory = self._attempt()
        protocol: Any = factory.buildProtocol(None)
        wire = Wire(protocol)
        self.wires.append(wire)
        protocol.makeConnection(wire)
        self.network.advance()
        return wire

    def refuse(self) -> None:
        """Refuse the oldest attempt to connect."""
        self._attempt().clientConnectionFailed(None, Failure(ConnectionRefusedError(111)))
        self.network.advance()

    def _attempt(self) -> Any:
        _, _, factory, *_ = self.reactor.tcpClients[self.attempts]
        self.attempts += 1
        return factory

    def call(self, body: bytes = b"a") -> Deferred[bytes]:
        """Make a request."""
        self.calls.append(self.caller.call(QUEUE, body, timeout=100))
        self.network.advance()
        return self.calls[-1]

    def answer(self, wire: Wire, data: bytes) -> None:
        """Let the TCP server send something."""
        wire.clear()
        wire.protocol.dataReceived(data)
        self.network.advance()

    def end(self, wire: Wire, reason: Exception | None = None) -> None:
        """Let the TCP server close a connection, or lose it for a `reason`."""
        wire.end(reason)
        self.network.advance()
