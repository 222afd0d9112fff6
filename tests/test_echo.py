"""The echo server."""

from __future__ import annotations

from typing import cast

from twisted.application.service import IService
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.echo import EchoFactory, EchoProtocol, echo_service, server
from netdemo.listening import Refused

PEER = IPv4Address("TCP", "127.0.0.1", 50000)


class EchoTestCase(SynchronousTestCase):
    """A test with one connection in memory."""

    idle_timeout: float | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = EchoFactory(self.clock, idle_timeout=self.idle_timeout)
        self.protocol = cast("EchoProtocol", self.factory.buildProtocol(PEER))
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)


class EchoTests(EchoTestCase):
    """A connection without an idle timeout."""

    def test_it_can_be_half_closed(self) -> None:
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.protocol))

    def test_nothing_is_sent_unasked(self) -> None:
        self.assertEqual(b"", self.transport.value())

    def test_what_is_received_is_sent_back(self) -> None:
        self.protocol.dataReceived(b"\x00\xff\r\n")
        self.assertEqual(b"\x00\xff\r\n", self.transport.value())

    def test_order_is_kept(self) -> None:
        for data in (b"one", b"two", b"three"):
            self.protocol.dataReceived(data)
        self.assertEqual(b"onetwothree", self.transport.value())

    def test_it_is_the_producer_of_its_own_transport(self) -> None:
        self.assertTrue(verifyObject(IPushProducer, self.protocol))
        self.assertIs(self.protocol, self.transport.producer)

    def test_nothing_is_read_while_it_is_paused(self) -> None:
        self.protocol.pauseProducing()
        self.assertEqual("paused", self.transport.producerState)
        self.protocol.resumeProducing()
        self.assertEqual("producing", self.transport.producerState)

    def test_it_is_closed_when_it_is_to_produce_no_more(self) -> None:
        self.protocol.stopProducing()
        self.assertFalse(self.transport.connected)

    def test_producer_is_told_when_to_pause(self) -> None:
        self.assertTrue(self.transport.streaming)

    def test_without_idle_timeout_there_is_no_delayed_call(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_end_of_the_connection_is_told_to_the_factory(self) -> None:
        self.transport.loseConnection()
        self.assertEqual(set(), self.factory.connections)


class HalfCloseTests(EchoTestCase):
    """One side of the connection ends before the other."""

    def test_peer_that_half_closes_is_sent_what_is_left_and_closed(self) -> None:
        self.protocol.dataReceived(b"last")
        self.protocol.readConnectionLost()
        self.assertEqual((b"last", False), (self.transport.value(), self.transport.connected))

    def test_producer_is_gone_before_the_close_which_would_wait_for_it(self) -> None:
        self.protocol.readConnectionLost()
        self.assertIsNone(self.transport.producer)

    def test_peer_that_takes_no_more_is_closed(self) -> None:
        self.protocol.writeConnectionLost()
        self.assertFalse(self.transport.connected)

    def test_close_is_orderly(self) -> None:
        self.protocol.readConnectionLost()
        self.assertFalse(self.transport.disconnected)


class IdleTimeoutTests(EchoTestCase):
    """A connection with an idle timeout of 10 seconds."""

    idle_timeout = 10.0

    def test_silent_peer_is_left_alone_until_the_timeout(self) -> None:
        self.clock.advance(9.9)
        self.assertTrue(self.transport.connected)

    def test_silent_peer_is_aborted_at_the_timeout(self) -> None:
        self.clock.advance(10)
        self.assertEqual((True, False), (self.transport.disconnected, self.transport.connected))

    def test_data_resets_the_timeout(self) -> None:
        self.clock.advance(9)
        self.protocol.dataReceived(b"x")
        self.clock.advance(9)
        self.assertTrue(self.transport.connected)

    def test_peer_that_takes_what_waits_resets_the_timeout(self) -> None:
        self.protocol.pauseProducing()
        self.clock.advance(9)
        self.protocol.resumeProducing()
        self.clock.advance(9)
        self.assertTrue(self.transport.connected)

    def test_peer_that_takes_nothing_of_what_waits_is_aborted(self) -> None:
        self.patch(server, "unacknowledged", lambda _: 5000)
        self.clock.pump([10, 9.9])
        self.assertTrue(self.transport.connected)
        self.clock.advance(0.1)
        self.assertTrue(self.transport.disconnected)

    def test_peer_that_slowly_takes_what_waits_is_left_alone(self) -> None:
        waiting = iter([5000, 4000, 3000, 0])
        self.patch(server, "unacknowledged", lambda _: next(waiting))
        self.clock.pump([10, 10, 10])
        self.assertTrue(self.transport.connected)
        self.clock.advance(10)
        self.assertTrue(self.transport.disconnected)

    def test_peer_that_falls_silent_after_data_is_aborted(self) -> None:
        self.clock.advance(9)
        self.protocol.dataReceived(b"x")
        self.clock.advance(10)
        self.assertTrue(self.transport.disconnected)

    def test_no_delayed_call_is_left_when_the_peer_leaves(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_no_delayed_call_is_left_after_the_timeout(self) -> None:
        self.clock.advance(10)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_no_delayed_call_is_left_after_data_and_half_close(self) -> None:
        self.protocol.dataReceived(b"x")
        self.protocol.readConnectionLost()
        self.assertEqual([], self.clock.getDelayedCalls())


class EchoServiceTests(SynchronousTestCase):
    """The service of several endpoints."""

    def test_it_is_a_service(self) -> None:
        self.assertTrue(verifyObject(IService, echo_service(["tcp:1"], MemoryReactorClock())))

    def test_limit_counts_over_all_endpoints(self) -> None:
        memory = MemoryReactorClock()
        echo_service(["tcp:1", "tcp:2"], memory, max_connections=1).startService()
        first, second = (server[1] for server in memory.tcpServers)
        first.buildProtocol(PEER)
        self.assertIsInstance(second.buildProtocol(PEER), Refused)

    def test_time_is_that_of_the_reactor(self) -> None:
        memory = MemoryReactorClock()
        echo_service(["tcp:1"], memory, idle_timeout=5).startService()
        protocol = cast("EchoProtocol", memory.tcpServers[0][1].buildProtocol(PEER))
        protocol.makeConnection(StringTransportWithDisconnection())
        self.assertEqual([5], [call.getTime() for call in memory.getDelayedCalls()])
