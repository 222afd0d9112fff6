"""`netdemo.broker.server`: heartbeats, the transport's back-pressure, and starting and stopping."""

from __future__ import annotations

import errno
import os
from typing import Any

from pika import spec
from twisted.application.service import IService
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.testing import MemoryReactorClock
from zope.interface import alsoProvides
from zope.interface.verify import verifyObject

from netdemo.broker.broker import Broker
from netdemo.broker.connection import HANDSHAKE_TIMEOUT
from netdemo.broker.server import BrokerFactory, BrokerService, broker_service
from netdemo.broker.store import memory_store
from netdemo.broker.users import guest_only
from netdemo.broker.wire import HEARTBEAT_FRAME, PROTOCOL_HEADER, write_method
from netdemo.errors import StartupError, StoreError
from netdemo.listening import GracefulService
from tests.broker_peer import FRAME_MAX, GREETING, login
from tests.folders import temporary_folder
from tests.tidy import TidyTestCase
from tests.wire import Wire

ENDPOINT = "tcp:5672:interface=127.0.0.1"
GRACE = 3.0
HEARTBEAT = 10
HALF = HEARTBEAT / 2


class Socket(Wire):
    """A transport like a TCP socket's, with addresses on this machine."""

    protocol: Any
    no_delay = False

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        alsoProvides(self, ITCPTransport)
        self.hostAddr = IPv4Address("TCP", "127.0.0.1", 5672)
        self.peerAddr = IPv4Address("TCP", "127.0.0.1", 50000)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def taken(self) -> bytes:
        """Return what was written since this was asked last."""
        data: bytes = self.value()
        self.clear()
        return data


class Listening:
    """A port that counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def stopListening(self) -> None:
        """Count it."""
        self.closed += 1


class Reactor(MemoryReactorClock):
    """A reactor that keeps its `ports`; one that is `taken` can't be listened on."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[Listening] = []
        self.taken = False

    def listenTCP(self, port: int, *arguments: Any, **named: Any) -> Any:
        if self.taken:
            error = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            raise CannotListenError("127.0.0.1", port, error)
        super().listenTCP(port, *arguments, **named)
        self.ports.append(Listening())
        return self.ports[-1]


class ServerTestCase(TidyTestCase):
    """A factory on a clock, and the peers that have dialled."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.factory = BrokerFactory(self.reactor)
        self.sockets: list[Socket] = []

    def dial(self, greeting: bytes = b"") -> Socket:
        """Return the transport of a new connection, over which this was said."""
        protocol = self.factory.buildProtocol(None)
        socket = Socket(protocol)
        self.sockets.append(socket)
        protocol.makeConnection(socket)
        if greeting:
            socket.protocol.dataReceived(greeting)
            socket.taken()
        return socket

    def tidy(self) -> None:
        """End all connections; no timer is left."""
        for socket in self.sockets:
            socket.end()
        self.assertEqual([], self.reactor.getDelayedCalls())
        super().tidy()


class ProtocolTestCase(ServerTestCase):
    """A broker without a store."""

    def setUp(self) -> None:
        super().setUp()
        self.broker = self.factory.broker = Broker(self.reactor, guest_only())


class HeartbeatTests(ProtocolTestCase):
    """A connection with heartbeats every ten seconds."""

    def setUp(self) -> None:
        super().setUp()
        tune = write_method(0, spec.Connection.TuneOk(2047, FRAME_MAX, HEARTBEAT))
        opening = write_method(0, spec.Connection.Open("/"))
        self.socket = self.dial(PROTOCOL_HEADER + write_method(0, login()) + tune + opening)
        self.reactor.advance(HALF)
        self.socket.taken()

    def beat(self, count: int, answer: bytes = b"") -> bytes:
        """Let so many halves of the interval pass; return what was sent."""
        for _ in range(count):
            if answer:
                self.socket.protocol.dataReceived(answer)
            self.reactor.advance(HALF)
        return self.socket.taken()

    def test_idle_connection_sends_one_each_half_of_the_interval(self) -> None:
        self.assertEqual(3 * HEARTBEAT_FRAME, self.beat(3))

    def test_connection_that_has_written_sends_none(self) -> None:
        opening = write_method(1, spec.Channel.Open())
        self.socket.protocol.dataReceived(opening)
        self.assertEqual(write_method(1, spec.Channel.OpenOk()), self.beat(1))
        self.assertEqual(HEARTBEAT_FRAME, self.beat(1))

    def test_peer_that_is_silent_for_two_intervals_is_aborted(self) -> None:
        self.beat(4)
        self.assertTrue(self.socket.connected)
        self.beat(1)
        self.assertFalse(self.socket.connected)

    def test_peer_that_sends_heartbeats_stays(self) -> None:
        self.beat(20, HEARTBEAT_FRAME)
        self.assertTrue(self.socket.connected)

    def test_peer_that_sends_anything_stays(self) -> None:
        for byte in write_method(1, spec.Channel.Open()):
            self.beat(1, bytes((byte,)))
        self.assertTrue(self.socket.connected)

    def test_peer_that_an_alarm_blocks_stays(self) -> None:
        self.socket.protocol.read(False)
        self.beat(20)
        self.assertTrue(self.socket.connected)

    def test_peer_that_takes_nothing_is_heard_once_an_interval(self) -> None:
        self.socket.protocol.pauseProducing()
        self.assertEqual("paused", self.socket.producerState)
        self.beat(1)
        self.assertEqual("producing", self.socket.producerState)
        self.beat(20, HEARTBEAT_FRAME)
        self.assertTrue(self.socket.connected)
        self.socket.protocol.dataReceived(HEARTBEAT_FRAME)
        self.assertEqual("paused", self.socket.producerState)

    def test_peer_that_takes_nothing_and_is_silent_is_aborted(self) -> None:
        self.socket.protocol.pauseProducing()
        self.beat(5)
        self.assertFalse(self.socket.connected)

    def test_ended_connection_beats_no_more(self) -> None:
        self.socket.end()
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_connection_without_heartbeats_sends_none(self) -> None:
        socket = self.dial(GREETING)
        for _ in range(20):
            self.beat(1, HEARTBEAT_FRAME)
        self.assertEqual((b"", True), (socket.taken(), socket.connected))


class ProtocolTests(ProtocolTestCase):
    """The protocol between transport and connection."""

    def test_it_is_a_producer_and_registered_with_its_transport(self) -> None:
        socket = self.dial()
        verifyObject(IPushProducer, socket.protocol)
        self.assertIs(socket.protocol, socket.producer)
        self.assertTrue(socket.streaming)

    def test_packets_are_not_delayed(self) -> None:
        self.assertTrue(self.dial().no_delay)

    def test_full_transport_stops_reading_until_it_is_empty(self) -> None:
        socket = self.dial(GREETING)
        socket.protocol.pauseProducing()
        self.assertEqual("paused", socket.producerState)
        socket.protocol.resumeProducing()
        self.assertEqual("producing", socket.producerState)

    def test_peer_that_never_opens_is_aborted(self) -> None:
        socket = self.dial(PROTOCOL_HEADER)
        self.reactor.advance(HANDSHAKE_TIMEOUT)
        self.assertFalse(socket.connected)

    def test_peer_that_closes_is_closed(self) -> None:
        socket = self.dial(GREETING)
        socket.protocol.dataReceived(write_method(0, spec.Connection.Close(200, "", 0, 0)))
        self.assertEqual(write_method(0, spec.Connection.CloseOk()), socket.taken())
        self.assertTrue(socket.disconnecting)

    def test_lost_connection_is_forgotten(self) -> None:
        socket = self.dial(GREETING)
        socket.end()
        self.assertEqual(({}, set()), (self.broker.connections, self.factory.connections))

    def test_producer_that_is_told_after_the_end_does_nothing(self) -> None:
        socket = self.dial(GREETING)
        socket.end()
        socket.protocol.pauseProducing()
        socket.protocol.resumeProducing()
        socket.protocol.stopProducing()
        self.assertEqual("producing", socket.producerState)

    def test_connection_over_the_limit_is_aborted(self) -> None:
        self.factory.max_connections = 1
        self.dial()
        self.assertFalse(self.dial().connected)


class ServiceTestCase(ServerTestCase):
    """A service that makes a broker with a store in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.refusal: Exception | None = None
        self.made: list[Broker] = []
        listening = GracefulService([ENDPOINT], self.factory, self.reactor, GRACE)
        self.service = BrokerService(self.make_broker, self.factory, listening)

    def make_broker(self) -> Broker:
        """Make a broker, or refuse to."""
        if self.refusal is not None:
            raise self.refusal
        self.made.append(Broker(self.reactor, guest_only(), memory_store(self.reactor)))
        return self.made[-1]

    def assertStoreClosed(self, broker: Broker) -> None:
        """Fail if the store of a broker is open."""
        assert broker.store is not None
        self.assertTrue(broker.store._closed)


class StartingTests(ServiceTestCase):
    """Starting."""

    def test_it_is_a_service(self) -> None:
        verifyObject(IService, self.service)
        verifyObject(IService, broker_service([ENDPOINT], self.reactor))

    def test_nothing_is_made_before_it_starts(self) -> None:
        self.assertEqual(([], None), (self.made, self.service.broker))

    def test_started_service_has_a_broker_and_listens(self) -> None:
        self.service.startService()
        self.assertIs(self.made[0], self.service.broker)
        self.assertEqual(1, len(self.reactor.ports))
        self.successResultOf(self.service.stopService())

    def test_privileged_start_and_start_make_one_broker(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        self.assertEqual((1, 1), (len(self.made), len(self.reactor.ports)))
        self.successResultOf(self.service.stopService())

    def test_store_that_is_refused_is_an_error_at_the_start_and_nothing_listens(self) -> None:
        self.refusal = StoreError("damaged")
        self.assertRaises(StartupError, self.service.startService)
        self.assertEqual([], self.reactor.ports)
        self.assertIsNone(self.service.broker)

    def test_store_that_is_no_folder_is_an_error_at_the_start(self) -> None:
        place = temporary_folder(self) / "file"
        place.write_text("")
        service = broker_service([ENDPOINT], self.reactor, store=place)
        self.assertRaises(StartupError, service.startService)
        self.assertEqual([], self.reactor.ports)

    def test_port_that_is_taken_is_an_error_and_stopping_closes_the_store(self) -> None:
        self.reactor.taken = True
        self.assertRaises(StartupError, self.service.startService)
        self.successResultOf(self.service.stopService())
        self.assertIsNone(self.service.broker)
        self.assertStoreClosed(self.made[0])


class StoppingTests(ServiceTestCase):
    """Stopping, with a peer that is connected."""

    def setUp(self) -> None:
        super().setUp()
        self.service.startService()
        self.socket = self.dial(GREETING)

    def test_peer_is_told_and_has_time(self) -> None:
        stopping = self.service.stopService()
        self.assertIn(b"CONNECTION_FORCED", self.socket.taken())
        self.reactor.advance(GRACE - 0.1)
        self.assertNoResult(stopping)
        self.assertTrue(self.socket.connected)
        self.socket.end()
        self.successResultOf(stopping)

    def test_peer_that_does_not_close_is_aborted(self) -> None:
        stopping = self.service.stopService()
        self.reactor.advance(GRACE)
        self.assertFalse(self.socket.connected)
        self.successResultOf(stopping)

    def test_store_is_closed_when_the_last_peer_is_gone(self) -> None:
        stopping = self.service.stopService()
        store = self.made[0].store
        assert store is not None
        self.assertFalse(store._closed)
        self.socket.end()
        self.successResultOf(stopping)
        self.assertStoreClosed(self.made[0])

    def test_port_is_closed_at_once(self) -> None:
        self.service.stopService()
        self.assertEqual(1, self.reactor.ports[0].closed)
        self.socket.end()

    def test_stopped_service_starts_again_with_a_new_broker(self) -> None:
        self.socket.end()
        self.successResultOf(self.service.stopService())
        self.assertIsNone(self.service.broker)
        self.service.startService()
        self.assertEqual(2, len(self.made))
        self.assertIs(self.made[1], self.factory.broker)
        self.successResultOf(self.service.stopService())

    def test_service_that_never_started_can_be_stopped(self) -> None:
        service = broker_service([ENDPOINT], self.reactor)
        self.successResultOf(service.stopService())
        self.assertIsNone(service.broker)
        self.socket.end()
