"""`netdemo.bridge.service`: what the bridge is composed of."""

from __future__ import annotations

from pika import spec
from twisted.application.service import IService
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from netdemo.address import ExchangeDestination, QueueDestination
from netdemo.amqp.client import AMQPClient
from netdemo.bridge.pull import PullFactory
from netdemo.bridge.push import PushFactory
from netdemo.bridge.routes import PullRoute, PushRoute
from netdemo.bridge.service import bridge_service
from netdemo.errors import BrokerURLError
from tests.peer import connected

PUSH = PushRoute(QueueDestination("q"), "tcp:7001:interface=127.0.0.1")
PULL = PullRoute(ExchangeDestination("amq.topic", "k"), "tcp:7002:interface=127.0.0.1")


class BridgeServiceTests(TestCase):
    """A bridge with one route of each kind on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.bridge = bridge_service(["amqp://127.0.0.1:1"], [PUSH, PULL], self.reactor)

    def test_children_are_found_by_name(self) -> None:
        client = self.bridge.getServiceNamed("amqp")
        self.assertIsInstance(client, AMQPClient)
        push = self.bridge.getServiceNamed("push /queue/q@tcp:7001:interface=127.0.0.1")
        pull = self.bridge.getServiceNamed("pull /topic/k@tcp:7002:interface=127.0.0.1")
        self.assertIsInstance(push.factory, PushFactory)
        self.assertIsInstance(pull.factory, PullFactory)
        for service in (self.bridge, client, push, pull):
            verifyObject(IService, service)

    def test_malformed_broker_url_is_an_error_at_once(self) -> None:
        self.assertRaises(BrokerURLError, bridge_service, ["nonsense"], [PUSH], self.reactor)

    def test_listens_before_it_is_connected_and_on_nothing_else(self) -> None:
        self.bridge.privilegedStartService()
        self.bridge.startService()
        ports = [(port, interface) for port, _, _, interface in self.reactor.tcpServers]
        self.assertEqual(ports, [(7001, "127.0.0.1"), (7002, "127.0.0.1")])
        self.bridge.stopService()

    def test_own_queue_of_a_pull_route_is_declared_while_nobody_pulls(self) -> None:
        bridge = bridge_service(["amqp://127.0.0.1:1"], [PULL], self.reactor)
        bridge.startService()
        peer = connected(self.reactor).let_in()
        declared = [each for each in peer.agree() if isinstance(each, spec.Queue.Declare)]
        self.assertEqual(len(declared), 1)
        self.assertTrue(declared[0].exclusive)
        bridge.stopService()

    def test_stopping_closes_the_ports_and_the_connection(self) -> None:
        self.bridge.startService()
        peer = connected(self.reactor).let_in()
        peer.agree()
        stopping = self.bridge.stopService()
        peer.agree()
        self.successResultOf(stopping)
        self.assertFalse(peer.wire.connected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
