"""Connections that have a limit, and time to end when their service stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from netdemo.listening import GracefulService, LimitedFactory, Refused
from tests.test_listening import PortReactor
from tests.wire import Wire

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

PEER = IPv4Address("TCP", "127.0.0.1", 50000)


class Conversation(Protocol):
    """Tells its factory of its end, as protocols of a `LimitedFactory` do."""

    factory: ConversationFactory

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.factory.connection_ended(self)


class ConversationFactory(LimitedFactory):
    """Builds conversations."""

    def new_protocol(self) -> IProtocol:
        return Conversation()


class LimitedFactoryTests(SynchronousTestCase):
    """A factory with a limit to its connections."""

    def setUp(self) -> None:
        self.factory = ConversationFactory(max_connections=2)

    def connect(self) -> Any:
        """Return the protocol of one more connection."""
        return self.factory.buildProtocol(PEER)

    def taken(self) -> bool:
        """Tell whether one more connection is not refused."""
        return not isinstance(self.connect(), Refused)

    def test_connections_up_to_the_limit_are_taken(self) -> None:
        protocols = [self.connect(), self.connect()]
        self.assertEqual(set(protocols), self.factory.connections)

    def test_protocol_knows_its_factory(self) -> None:
        self.assertIs(self.factory, self.connect().factory)

    def test_connection_over_the_limit_is_refused(self) -> None:
        self.assertEqual([True, True, False], [self.taken() for _ in range(3)])

    def test_refused_connection_is_aborted(self) -> None:
        protocol = [self.connect() for _ in range(3)][-1]
        transport = Wire(protocol)
        protocol.makeConnection(transport)
        self.assertFalse(transport.connected)

    def test_refusals_are_counted(self) -> None:
        for _ in range(4):
            self.connect()
        self.assertEqual(2, self.factory.refused)

    def test_refusal_is_logged_with_the_peer_and_the_limit(self) -> None:
        with capturedLogs() as logged:
            for _ in range(3):
                self.connect()
        self.assertEqual(
            [(LogLevel.warn, "127.0.0.1:50000", 2)],
            [(event["log_level"], event["peer"], event["limit"]) for event in logged],
        )

    def test_connection_that_ends_makes_room(self) -> None:
        self.connect()
        self.connect().connectionLost()
        self.assertTrue(self.taken())

    def test_refused_connection_takes_no_room(self) -> None:
        protocols = [self.connect() for _ in range(3)]
        protocols[0].connectionLost()
        self.assertEqual([True, False], [self.taken() for _ in range(2)])

    def test_no_limit_refuses_nobody(self) -> None:
        self.factory = ConversationFactory()
        self.assertNotIn(False, [self.taken() for _ in range(1000)])


class GracefulServiceTests(SynchronousTestCase):
    """Several endpoints with one factory, and time for connections to end."""

    def setUp(self) -> None:
        self.reactor = PortReactor()
        self.factory = ConversationFactory()
        endpoints = ["tcp:1234", "tcp:1235"]
        self.service = GracefulService(endpoints, self.factory, self.reactor, grace=5)
        self.service.startService()

    def connect(self) -> Wire:
        """Return the transport of one more connection."""
        protocol: Any = self.factory.buildProtocol(PEER)
        transport = Wire(protocol)
        protocol.makeConnection(transport)
        return transport

    def test_child_is_named_as_its_endpoint(self) -> None:
        service: Any = self.service.getServiceNamed("tcp:1235")
        self.assertEqual("tcp:1235", service.endpoint)

    def test_all_listen_when_they_start(self) -> None:
        self.assertEqual([1234, 1235], self.reactor.open)

    def test_stopped_without_connections_it_has_ended(self) -> None:
        self.successResultOf(self.service.stopService())
        self.assertEqual(([], []), (self.reactor.open, self.reactor.getDelayedCalls()))

    def test_listeners_are_closed_at_once(self) -> None:
        self.connect()
        self.service.stopService()
        self.assertEqual([], self.reactor.open)

    def test_connections_go_on_for_the_grace(self) -> None:
        transport = self.connect()
        stopping = self.service.stopService()
        self.reactor.advance(4.9)
        self.assertTrue(transport.connected)
        self.assertNoResult(stopping)

    def test_it_has_ended_when_the_last_connection_has(self) -> None:
        first, last = self.connect(), self.connect()
        stopping = self.service.stopService()
        first.end()
        self.assertNoResult(stopping)
        last.end()
        self.successResultOf(stopping)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_connections_are_aborted_after_the_grace(self) -> None:
        first, last = self.connect(), self.connect()
        stopping = self.service.stopService()
        self.reactor.advance(5)
        self.assertEqual((False, False), (first.connected, last.connected))
        self.successResultOf(stopping)

    def test_it_waits_for_an_aborted_connection_to_be_gone(self) -> None:
        transport = self.connect()
        aborted: list[bool] = []
        self.patch(transport, "abortConnection", lambda: aborted.append(True))
        stopping = self.service.stopService()
        self.reactor.advance(5)
        self.assertEqual([True], aborted)
        self.assertNoResult(stopping)
        transport.end()
        self.successResultOf(stopping)

    def test_connection_that_comes_when_it_was_started_again_is_none_of_those_that_end(
        self,
    ) -> None:
        old = self.connect()
        self.service.stopService()
        self.service.startService()
        new = self.connect()
        self.reactor.advance(5)
        self.assertEqual((False, True), (old.connected, new.connected))

    def test_it_can_be_started_again(self) -> None:
        self.successResultOf(self.service.stopService())
        self.service.startService()
        self.assertEqual([1234, 1235], self.reactor.open)
