"""`netdemo.bridge.route_service`: a route that listens, from its start to its end."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from netdemo.address import QueueDestination
from netdemo.bridge.clients import LINGER
from netdemo.bridge.outlet import Outlet
from netdemo.bridge.push import PushFactory
from netdemo.bridge.route_service import EndpointService
from netdemo.bridge.routes import PushRoute
from tests.publishing import Publishing
from tests.wire import Wire

ADDRESS = IPv4Address("TCP", "127.0.0.1", 40000)


class ListeningRouteTests(TestCase):
    """A push route with answers, on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        route = PushRoute(QueueDestination("q"), "tcp:7001", ack=True)
        outlet = Outlet(route, self.reactor)
        self.broker = Publishing(outlet.publisher)
        self.factory = PushFactory(route, outlet, self.reactor)
        self.service = EndpointService(route, self.factory, self.reactor)
        self.start()
        self.addCleanup(lambda: self.assertEqual(self.reactor.getDelayedCalls(), []))

    def start(self) -> None:
        """Start the route as twistd does."""
        self.service.privilegedStartService()
        self.service.startService()

    def connect(self) -> Wire:
        """Connect a client to the port that was opened last."""
        protocol: Any = self.reactor.tcpServers[-1][1].buildProtocol(ADDRESS)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        return wire

    def test_provides_its_interface_and_is_named_by_its_route(self) -> None:
        verifyObject(IService, self.service)
        self.assertEqual(self.service.name, "push /queue/q@tcp:7001")

    def test_listens_once(self) -> None:
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [7001])

    def test_who_connects_while_it_stops_is_refused(self) -> None:
        wire = self.connect()
        stopped = self.service.stopService()
        self.assertFalse(self.connect().connected)
        wire.end()
        self.successResultOf(stopped)

    def test_stopping_waits_for_the_answers_and_for_the_client_to_read_them(self) -> None:
        wire = self.connect()
        wire.protocol.dataReceived(b"a\n")
        stopped = self.service.stopService()
        self.reactor.advance(LINGER * 2)
        self.assertNoResult(stopped)
        self.assertTrue(wire.connected)
        self.broker.ack(1)
        self.assertEqual(wire.value(), b"OK\n")
        self.assertNoResult(stopped)
        self.reactor.advance(LINGER)
        self.assertFalse(wire.connected)
        self.successResultOf(stopped)

    def test_route_that_stopped_starts_again(self) -> None:
        self.connect().end()
        self.successResultOf(self.service.stopService())
        self.start()
        self.assertEqual(len(self.reactor.tcpServers), 2)
        wire = self.connect()
        wire.protocol.dataReceived(b"a\n")
        self.broker.ack(1)
        self.assertEqual(wire.value(), b"OK\n")
        wire.end()

    def test_route_that_was_never_started_stops(self) -> None:
        route = PushRoute(QueueDestination("q"), "tcp:7002")
        factory = PushFactory(route, Outlet(route, self.reactor), self.reactor)
        service = EndpointService(route, factory, self.reactor)
        self.successResultOf(service.stopService())
