"""Heartbeats of our broker, and peers that hang."""

from __future__ import annotations

from pika import spec
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from netdemo.broker.broker import Broker
from netdemo.broker.server import MAX_UNTAKEN, BrokerFactory, BrokerProtocol
from netdemo.broker.users import guest_only
from netdemo.broker.wire import HEARTBEAT_FRAME, PROTOCOL_HEADER, write_method
from tests.broker_peer import login
from tests.tidy import TidyTestCase

HEARTBEAT = 10
OPENING = PROTOCOL_HEADER + b"".join(
    write_method(0, method)
    for method in (
        login(),
        spec.Connection.TuneOk(2047, 131_072, HEARTBEAT),
        spec.Connection.Open("/"),
    )
)


class HangingTests(TidyTestCase):
    """A peer that does not take what it is sent, so that its transport is full."""

    def setUp(self) -> None:
        self.clock = Clock()
        factory = BrokerFactory(self.clock)
        factory.broker = Broker(self.clock, guest_only())
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, BrokerProtocol)
        self.protocol = protocol
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 1))
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(OPENING)
        self.addCleanup(self.protocol.connectionLost, connectionDone)
        self.protocol.pauseProducing()

    def pass_intervals(self, count: int) -> None:
        """Let so many intervals pass."""
        self.clock.pump([HEARTBEAT / 2] * (2 * count))

    def test_peer_that_says_nothing_is_ended(self) -> None:
        self.pass_intervals(3)
        self.assertTrue(self.transport.disconnected)

    def test_peer_is_read_from_once_an_interval_and_stays(self) -> None:
        for _ in range(5):
            self.assertEqual("paused", self.transport.producerState)
            self.pass_intervals(1)
            self.assertEqual("producing", self.transport.producerState)
            self.protocol.dataReceived(HEARTBEAT_FRAME)
        self.assertFalse(self.transport.disconnected)

    def test_peer_that_says_much_and_takes_nothing_is_read_from_no_more(self) -> None:
        self.protocol.dataReceived(write_method(1, spec.Channel.Open()) * MAX_UNTAKEN)
        self.pass_intervals(1)
        self.assertEqual("paused", self.transport.producerState)

    def test_heartbeats_do_not_pile_up(self) -> None:
        self.protocol.dataReceived(HEARTBEAT_FRAME * MAX_UNTAKEN)
        self.pass_intervals(1)
        self.assertEqual("producing", self.transport.producerState)
