"""A push route with one TCP client, on a publisher at work on a scripted peer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from netdemo.address import QueueDestination
from netdemo.amqp.window import Window
from netdemo.bridge.intake import IntakeProtocol
from netdemo.bridge.outlet import Outlet
from netdemo.bridge.push import PushFactory
from netdemo.bridge.routes import PushRoute
from tests.publishing import Publishing
from tests.wire import Wire

ENDPOINT = "tcp:7001"


class PushTestCase(TestCase):
    """A push route to a queue; `broker` is what it publishes to."""

    ack = False
    window = 100
    window_bytes = 1000
    room = 1
    idle_timeout: float | None = None
    framing = "line"

    def setUp(self) -> None:
        self.clock = Clock()
        route = PushRoute(
            QueueDestination("q"),
            ENDPOINT,
            ack=self.ack,
            max_record=10,
            idle_timeout=self.idle_timeout,
            framing=self.framing,
        )
        self.outlet = Outlet(
            route,
            self.clock,
            window=Window(self.window, self.window_bytes, self.room),
            retry_policy=lambda attempt: 1.0 * attempt,
        )
        self.broker = Publishing(self.outlet.publisher)
        self.factory = PushFactory(route, self.outlet, self.clock)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.client, self.wire = self.connect()

    def connect(self) -> tuple[IntakeProtocol, Wire]:
        """Connect a client."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, IntakeProtocol)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        self.addCleanup(wire.end)
        return protocol, wire
