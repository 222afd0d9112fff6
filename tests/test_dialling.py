"""`netdemo.bridge.dialling` and routes that connect: they come back, and stop at any moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from netdemo.address import QueueDestination
from netdemo.bridge.dialling import LoggedEndpoint
from netdemo.bridge.outlet import Outlet
from netdemo.bridge.push import PushFactory
from netdemo.bridge.route_service import EndpointService
from netdemo.bridge.routes import PushRoute
from netdemo.errors import AddressError
from tests.publishing import Publishing
from tests.wire import Wire

PLACE = "127.0.0.1:7001"
LONGEST = 60.0
"""More seconds than it ever waits for another attempt."""


class DiallingTestCase(TestCase):
    """A push route that connects, on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        route = PushRoute(QueueDestination("q"), PLACE, connect=True, ack=True)
        self.outlet = Outlet(route, self.reactor)
        self.broker = Publishing(self.outlet.publisher)
        self.factory = PushFactory(route, self.outlet, self.reactor)
        self.service = EndpointService(route, self.factory, self.reactor)
        self.service.startService()
        self.addCleanup(lambda: self.assertEqual(self.reactor.getDelayedCalls(), []))

    @property
    def attempts(self) -> int:
        """How often it has tried to connect."""
        return len(self.reactor.tcpClients)

    def connect(self) -> Wire:
        """Let the latest attempt succeed."""
        protocol: Any = self.reactor.tcpClients[-1][2].buildProtocol(None)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        return wire

    def refuse(self) -> None:
        """Refuse the latest attempt."""
        factory: Any = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError(111, "refused")))


class ComingBackTests(DiallingTestCase):
    """It connects, again and again."""

    def tearDown(self) -> None:
        for each in list(self.factory.connections):
            each.transport.abortConnection()
        self.successResultOf(self.service.stopService())

    def test_provides_its_interface(self) -> None:
        verifyObject(IStreamClientEndpoint, LoggedEndpoint(PLACE, self.reactor))

    def test_malformed_place_is_an_error_at_once(self) -> None:
        route = PushRoute(QueueDestination("q"), "nowhere", connect=True)
        self.assertRaises(AddressError, EndpointService, route, self.factory, self.reactor)

    def test_connects_to_the_place_when_it_starts(self) -> None:
        host, port, *_ = self.reactor.tcpClients[0]
        self.assertEqual((host, port), ("127.0.0.1", 7001))

    def test_records_of_the_server_are_published_and_answered(self) -> None:
        wire = self.connect()
        wire.protocol.dataReceived(b"a\n")
        self.assertEqual(self.broker.sent(), [b"a"])
        self.broker.ack(1)
        self.assertEqual(wire.value(), b"OK\n")

    def test_refused_attempts_are_logged_and_come_later_and_later(self) -> None:
        waits = []
        with capturedLogs() as logged:
            for _ in range(10):
                self.refuse()
                (timer,) = self.reactor.getDelayedCalls()
                waits.append(timer.getTime() - self.reactor.seconds())
                self.reactor.advance(waits[-1])
        texts = [each["reason"] for each in logged if "cannot connect" in each["log_format"]]
        self.assertEqual(len(texts), 10)
        again = [each["endpoint"] for each in logged if "Scheduling" in each["log_format"]]
        self.assertEqual({str(each) for each in again}, {PLACE})
        self.assertEqual(self.attempts, 11)
        self.assertLess(waits[0], waits[3])
        self.assertLessEqual(max(waits), 32)

    def test_connection_that_ends_is_made_again_and_others_wait_for_nothing(self) -> None:
        for number in range(1, 4):
            wire = self.connect()
            wire.protocol.dataReceived(b"a\n")
            wire.end()
            self.broker.ack(number)
            self.assertEqual(self.attempts, number)
            self.reactor.advance(LONGEST)
            self.assertEqual(self.attempts, number + 1)
        self.assertEqual(self.outlet.confirmed, 3)


class StoppingTests(DiallingTestCase):
    """`EndpointService.stopService`."""

    def test_while_it_waits_for_another_attempt(self) -> None:
        self.refuse()
        self.successResultOf(self.service.stopService())
        self.reactor.advance(LONGEST)
        self.assertEqual(self.attempts, 1)

    def test_while_it_connects_and_without_a_word_about_it(self) -> None:
        with capturedLogs() as logged:
            self.successResultOf(self.service.stopService())
        self.assertEqual([each["log_format"] for each in logged], [])

    def test_while_connected_and_idle(self) -> None:
        wire = self.connect()
        stopped = self.service.stopService()
        self.assertTrue(wire.write_ended)
        wire.end()
        self.successResultOf(stopped)

    def test_with_records_in_flight_they_are_answered_first(self) -> None:
        wire = self.connect()
        wire.protocol.dataReceived(b"a\nb\n")
        stopped = self.service.stopService()
        self.assertNoResult(stopped)
        self.assertFalse(wire.write_ended)
        self.broker.ack(2, multiple=True)
        self.assertEqual(wire.value(), b"OK\nOK\n")
        self.assertTrue(wire.write_ended)
        wire.end()
        self.successResultOf(stopped)
        self.reactor.advance(LONGEST)
        self.assertEqual(self.attempts, 1)

    def test_server_that_leaves_meanwhile_is_not_connected_to_again(self) -> None:
        """It would have its connection aborted, and lose what it sent first."""
        wire = self.connect()
        wire.protocol.dataReceived(b"a\n")
        stopped = self.service.stopService()
        wire.end()
        self.reactor.advance(LONGEST)
        self.assertEqual(self.attempts, 1)
        self.assertNoResult(stopped)
        self.broker.ack(1)
        self.successResultOf(stopped)

    def test_route_that_stopped_starts_again(self) -> None:
        wire = self.connect()
        stopped = self.service.stopService()
        wire.end()
        self.successResultOf(stopped)
        self.service.startService()
        self.assertEqual(self.attempts, 2)
        wire = self.connect()
        wire.protocol.dataReceived(b"a\n")
        self.assertEqual(self.broker.sent(), [b"a"])
        self.broker.ack(1)
        self.assertEqual(wire.value(), b"OK\n")
        stopped = self.service.stopService()
        wire.end()
        self.successResultOf(stopped)
