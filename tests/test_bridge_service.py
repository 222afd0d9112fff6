"""`netdemo.bridge.service`: what the bridge is composed of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import spec
from twisted.application.service import IService
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from netdemo.address import ExchangeDestination, QueueDestination, parse_destination
from netdemo.amqp.client import STOP_TIMEOUT, AMQPClient
from netdemo.bridge.pull import PullFactory
from netdemo.bridge.push import PushFactory
from netdemo.bridge.routes import PullRoute, PushRoute
from netdemo.bridge.service import bridge_service
from netdemo.errors import BrokerURLError
from tests.peer import connected
from tests.resolving import ResolvingReactor
from tests.wire import Wire

if TYPE_CHECKING:
    from twisted.application.service import MultiService

    from netdemo.bridge.routes import Route

PUSH = PushRoute(QueueDestination("q"), "tcp:7001:interface=127.0.0.1")
PULL = PullRoute(ExchangeDestination("amq.topic", "k"), "tcp:7002:interface=127.0.0.1")


class BridgeServiceTests(TestCase):
    """A bridge with one route of each kind on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = ResolvingReactor()
        self.bridge = self.build(PUSH, PULL)

    def build(self, *routes: Route) -> MultiService:
        """Return a bridge, which is stopped at the end of the test."""
        bridge = bridge_service(["amqp://127.0.0.1:1"], routes, self.reactor)
        self.addCleanup(self.stop, bridge)
        return bridge

    def stop(self, bridge: MultiService) -> None:
        """Stop `bridge` whatever its broker does; no DelayedCall may be left."""
        stopping: Any = bridge.stopService()
        for _ in range(3):
            self.reactor.advance(STOP_TIMEOUT)
        self.successResultOf(stopping)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

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

    def test_queue_of_a_pull_route_is_declared_while_nobody_pulls(self) -> None:
        for destination, exclusive in (("/topic/k", True), ("/queue/q", False)):
            self.build(PullRoute(parse_destination(destination), "tcp:7003")).startService()
            peer = connected(self.reactor).let_in()
            declared = [each for each in peer.agree() if isinstance(each, spec.Queue.Declare)]
            self.assertEqual({each.exclusive for each in declared}, {exclusive})

    def test_queue_of_a_pull_route_is_bound_before_anything_is_published(self) -> None:
        push = PushRoute(parse_destination("/topic/k"), "tcp:7003")
        bridge = self.build(push, PULL)
        factory: Any = bridge.getServiceNamed(str(push))
        done = factory.factory.take(b"record")
        bridge.startService()
        peer = connected(self.reactor).let_in()
        asked = [type(each) for each in peer.agree()]
        self.assertLess(asked.index(spec.Queue.Bind), asked.index(spec.Basic.Publish))
        peer.send(spec.Basic.Ack(1), channel=3)
        self.successResultOf(done)

    def test_refused_declaration_keeps_nobody_from_publishing(self) -> None:
        bridge = self.build(PUSH, PULL)
        factory: Any = bridge.getServiceNamed(str(PUSH))
        done = factory.factory.take(b"record")
        bridge.startService()
        peer = connected(self.reactor).let_in()
        peer.expect(spec.Channel.Open)
        peer.send(spec.Channel.OpenOk(), channel=1)
        peer.send(spec.Channel.Close(404, "NOT_FOUND - no exchange", 40, 10), channel=1)
        self.assertIn(spec.Basic.Publish, [type(each) for each in peer.agree()])
        peer.send(spec.Basic.Ack(1), channel=3)
        self.successResultOf(done)

    def test_stopping_closes_the_ports_and_the_connection(self) -> None:
        self.bridge.startService()
        peer = connected(self.reactor).let_in()
        peer.agree()
        stopping = self.bridge.stopService()
        peer.agree()
        self.successResultOf(stopping)
        self.assertFalse(peer.wire.connected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopping_closes_those_who_push_and_pull(self) -> None:
        self.bridge.startService()
        connected(self.reactor).let_in().agree()
        wires = []
        factory: Any
        for _, factory, _, _ in self.reactor.tcpServers:
            protocol = factory.buildProtocol(None)
            wires.append(Wire(protocol))
            protocol.makeConnection(wires[-1])
        self.bridge.stopService()
        self.assertEqual([wire.disconnecting for wire in wires], [True, True])
        for wire in wires:
            wire.end()
