"""A push route with one TCP client, on a publisher at work on a scripted peer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from netdemo.address import QueueDestination
from netdemo.amqp.destination import target
from netdemo.amqp.window import Window
from netdemo.bridge.push import PushFactory, PushProtocol
from netdemo.bridge.routes import PushRoute
from tests.publishing import Publishing
from tests.wire import Wire

ENDPOINT = "tcp:7001"


class PushTestCase(TestCase):
    """A push route to a queue; `broker` is what it publishes to."""

    ack = False
    window = 100
    window_bytes = 1000

    def setUp(self) -> None:
        self.broker = Publishing()
        self.clock = Clock()
        self.factory = PushFactory(
            PushRoute(QueueDestination("q"), ENDPOINT, ack=self.ack, max_record=10),
            target(QueueDestination("q")),
            self.broker.publisher,
            self.clock,
            window=Window(self.window, self.window_bytes),
            retry_policy=lambda attempt: 1.0 * attempt,
        )
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.client, self.wire = self.connect()

    def connect(self) -> tuple[PushProtocol, Wire]:
        """Connect a client."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, PushProtocol)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        self.addCleanup(wire.end)
        return protocol, wire
