"""`netdemo.bridge.service`: the routes of a running bridge are changed, and lose nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher

from netdemo.address import ExchangeDestination, QueueDestination
from netdemo.amqp import Message
from netdemo.bridge.routes import CallRoute, PullRoute, PushRoute, SubscribeRoute
from netdemo.bridge.service import Bridge
from netdemo.testing import MemoryBroker, MemoryNetwork
from tests.tidy import TidyTestCase
from tests.wire import Wire

if TYPE_CHECKING:
    from twisted.logger import ILogObserver

    from netdemo.bridge.routes import Route

TOPIC = ExchangeDestination("amq.topic", "k")
PUSH = PushRoute(QueueDestination("q"), "tcp:1", ack=True)
OTHER_PUSH = PushRoute(QueueDestination("r"), "tcp:2", ack=True)
PULL = PullRoute(TOPIC, "tcp:3")


class Ports(MemoryReactorClock):
    """A reactor that knows which ports are listened on, and refuses those in `taken`."""

    def __init__(self) -> None:
        super().__init__()
        self.factories: dict[int, Any] = {}
        self.taken: set[int] = set()
        self.listened: list[int] = []

    def listenTCP(self, port: int, factory: Any, *_: Any, **__: Any) -> Any:
        if port in self.taken or port in self.factories:
            raise CannotListenError("", port, OSError(98, "Address already in use"))
        self.factories[port] = factory
        self.listened.append(port)
        return Listening(self, port)


@attrs.define
class Listening:
    """A port that can be closed."""

    ports: Ports
    number: int

    def stopListening(self) -> None:
        """Close it."""
        del self.ports.factories[self.number]


class ChangeTestCase(TidyTestCase):
    """A bridge with two push routes and one from a topic, on a broker in memory."""

    def setUp(self) -> None:
        self.reactor = Ports()
        self.broker = MemoryBroker(MemoryNetwork(self.reactor))
        self.addCleanup(self.broker.stop)
        client = self.broker.client(retry_policy=lambda n: 1.0 + n)
        client.setName("amqp")
        self.client = client
        self.bridge = Bridge(client, [PUSH, OTHER_PUSH, PULL], self.reactor)
        self.bridge.startService()
        self.addCleanup(self.stop)
        self.broker.advance()
        self.logged: list[str] = []
        observer = cast("ILogObserver", self._log)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _log(self, event: Any) -> None:
        if event["log_namespace"].startswith("netdemo.bridge.service"):
            self.logged.append(event["log_format"].format(**event))

    def stop(self) -> None:
        """Stop the bridge; no DelayedCall may be left, nor a port."""
        stopping: Any = self.bridge.stopService()
        self.broker.advance(30)
        self.successResultOf(stopping)
        self.assertEqual(self.reactor.factories, {})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def change(self, *routes: Route) -> None:
        """Change the routes; it is done at once."""
        changing = self.bridge.change(routes)
        self.broker.advance()
        self.successResultOf(changing)

    def connect(self, port: int) -> Wire:
        """Connect to a port."""
        protocol = self.reactor.factories[port].buildProtocol(None)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        self.addCleanup(wire.end)
        self.broker.advance()
        return wire

    def pulled(self, port: int) -> bytes:
        """Connect to the port of a pull route; return what it sends, as far as it is asked."""
        wire = self.connect(port)
        while wire.producer is not None:
            wire.producer.resumeProducing()
        return bytes(wire.value())

    def push(self, wire: Wire, *lines: bytes) -> bytes:
        """Send lines; return the answers."""
        wire.clear()
        wire.protocol.dataReceived(b"".join(line + b"\n" for line in lines))
        self.broker.advance()
        return bytes(wire.value())

    def publish(self, body: bytes) -> None:
        """Publish to the topic."""
        publishing = self.client.publish(Message(body), "amq.topic", "k")
        self.broker.advance()
        self.successResultOf(publishing)

    def ready(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return self.broker.broker.vhost("/").queue(queue).count()

    def queues(self) -> int:
        """Return how many queues there are that are a route's own."""
        return len([name for name in self.broker.broker.vhost("/").queues if "netdemo" in name])


class ChangeTests(ChangeTestCase):
    """Routes that are added, removed and changed."""

    def test_added_route_is_listened_on(self) -> None:
        added = PushRoute(QueueDestination("s"), "tcp:4", ack=True)
        self.change(PUSH, OTHER_PUSH, PULL, added)
        self.assertEqual(self.bridge.routes, (PUSH, OTHER_PUSH, PULL, added))
        self.assertEqual(self.push(self.connect(4), b"x"), b"OK\n")
        self.assertEqual(self.ready("s"), 1)

    def test_untouched_route_keeps_its_port_and_its_clients(self) -> None:
        wire = self.connect(1)
        self.change(PUSH)
        self.assertEqual(self.push(wire, b"x"), b"OK\n")
        self.assertFalse(wire.disconnecting)
        self.assertEqual(self.reactor.listened, [1, 2, 3])

    def test_the_same_routes_again_change_nothing(self) -> None:
        wires = [self.connect(port) for port in (1, 2, 3)]
        self.change(PULL, attrs.evolve(PUSH), OTHER_PUSH)
        self.assertEqual([wire.disconnecting for wire in wires], [False] * 3)
        self.assertEqual(self.reactor.listened, [1, 2, 3])

    def test_removed_route_closes_its_port_and_its_idle_clients(self) -> None:
        wire = self.connect(2)
        changing = self.bridge.change([PUSH, PULL])
        self.assertNotIn(2, self.reactor.factories)
        self.assertTrue(wire.write_ended)
        wire.end()
        self.broker.advance()
        self.successResultOf(changing)
        self.assertEqual(self.bridge.routes, (PUSH, PULL))

    def test_removed_route_is_withdrawn_from_the_client(self) -> None:
        self.change(PUSH, OTHER_PUSH)
        self.assertEqual(self.queues(), 0)
        self.change()
        self.assertEqual(len(self.client._users), 1)  # its own publisher

    def test_what_a_removed_route_has_in_hand_is_answered(self) -> None:
        wire = self.connect(2)
        self.broker.stall()
        wire.protocol.dataReceived(b"x\ny\n")
        self.broker.advance()
        changing = self.bridge.change([PUSH, PULL])
        self.broker.advance()
        self.assertNotIn(2, self.reactor.factories)
        self.assertNoResult(changing)
        self.broker.resume()
        self.broker.advance()
        self.assertEqual(wire.value(), b"OK\nOK\n")
        wire.end()
        self.broker.advance()
        self.successResultOf(changing)
        self.assertEqual(self.ready("r"), 2)

    def test_changed_route_begins_when_the_old_one_has_ended(self) -> None:
        wire = self.connect(1)
        changed = attrs.evolve(PUSH, destination=QueueDestination("s"))
        changing = self.bridge.change([changed, OTHER_PUSH, PULL])
        self.broker.advance()
        self.assertNotIn(1, self.reactor.factories)
        wire.end()
        self.broker.advance()
        self.successResultOf(changing)
        self.assertEqual(self.push(self.connect(1), b"x"), b"OK\n")
        self.assertEqual(self.ready("s"), 1)

    def test_added_route_waits_for_no_other(self) -> None:
        wire = self.connect(1)
        added = PushRoute(QueueDestination("s"), "tcp:4")
        self.bridge.change([added])
        self.assertIn(4, self.reactor.factories)
        wire.end()

    def test_changed_route_waits_for_no_other_that_is_stopped(self) -> None:
        pull, push = PullRoute(QueueDestination("q"), "tcp:4"), self.connect(1)
        self.change(PUSH, pull)
        self.broker.block()
        push.protocol.dataReceived(b"x\n")
        self.broker.advance()
        changed = attrs.evolve(pull, prefetch=5)
        changing = self.bridge.change([attrs.evolve(PUSH, max_record=5), changed])
        self.broker.advance(30)
        self.assertNoResult(changing)
        self.assertEqual(self.bridge.routes, (changed,))
        (line,) = self.logged
        self.assertIn(f"{PUSH} is stopped, and has records in hand after 10 s", line)
        self.broker.unblock()
        self.broker.advance()
        push.end()
        self.broker.advance()
        self.successResultOf(changing)

    def test_route_that_moves_begins_when_the_old_one_has_ended(self) -> None:
        wire = self.connect(1)
        changing = self.bridge.change([attrs.evolve(PUSH, endpoint="tcp:4"), OTHER_PUSH, PULL])
        self.assertNotIn(4, self.reactor.factories)
        wire.end()
        self.broker.advance()
        self.successResultOf(changing)
        self.assertIn(4, self.reactor.factories)

    def test_second_change_waits_for_the_first(self) -> None:
        wire = self.connect(1)
        first = self.bridge.change([attrs.evolve(PUSH, ack=False)])
        second = self.bridge.change([PUSH, PULL])
        self.broker.advance()
        self.assertNoResult(second)
        wire.end()
        self.broker.advance()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(set(self.bridge.routes), {PUSH, PULL})

    def test_cancelled_it_goes_on(self) -> None:
        wire = self.connect(1)
        changed = attrs.evolve(PUSH, ack=False)
        changing = self.bridge.change([changed])
        changing.cancel()
        self.failureResultOf(changing, CancelledError)
        wire.end()
        self.broker.advance()
        self.assertEqual(self.bridge.routes, (changed,))

    def test_before_it_is_started_nothing_is_listened_on(self) -> None:
        bridge = Bridge(self.broker.client(), [PUSH], self.reactor)
        self.reactor.listened.clear()
        self.successResultOf(bridge.change([OTHER_PUSH]))
        self.assertEqual((bridge.routes, self.reactor.listened), ((OTHER_PUSH,), []))


class OwnQueueTests(ChangeTestCase):
    """A changed route with a queue of its own, whose messages are not lost."""

    def changed_while(self, publish: bool, *routes: Route) -> None:
        """Change the routes; messages come before, while, and after the old route ends."""
        wire = self.connect(3)
        changing = self.bridge.change(routes)
        self.broker.advance()
        self.assertNoResult(changing)
        if publish:
            self.publish(b"one")
        wire.end()
        self.broker.advance()
        self.successResultOf(changing)

    def test_its_messages_go_to_the_new_one(self) -> None:
        self.changed_while(True, PUSH, attrs.evolve(PULL, prefetch=5))
        self.publish(b"two")
        self.assertEqual(self.queues(), 1)
        self.assertEqual(self.pulled(3), b"one\ntwo\n")

    def test_they_go_along_to_another_port(self) -> None:
        self.changed_while(True, attrs.evolve(PULL, endpoint="tcp:4"))
        self.assertEqual(self.pulled(4), b"one\n")

    def test_another_destination_has_another_queue(self) -> None:
        self.changed_while(
            True, attrs.evolve(PULL, destination=ExchangeDestination("amq.fanout", ""))
        )
        self.assertEqual(self.queues(), 1)
        self.assertEqual(self.pulled(3), b"")

    def test_stopped_one_takes_nothing_from_it_while_another_is_still_to_end(self) -> None:
        old = SubscribeRoute(TOPIC, "tcp:4")
        self.change(PUSH, old)
        push, bodies = self.connect(1), [b"%d" % number for number in range(10)]
        self.bridge.change([attrs.evolve(old, prefetch=50)])
        self.broker.advance()
        wire = self.connect(4)
        for body in bodies:
            self.publish(body)
        while wire.producer is not None:
            wire.producer.resumeProducing()
        self.assertEqual(bytes(wire.value()).split(), bodies)
        push.end()

    def test_it_is_declared_again_on_the_next_connection(self) -> None:
        self.changed_while(False, attrs.evolve(PULL, prefetch=5))
        self.broker.drop()
        self.broker.advance(1)
        self.assertEqual(self.queues(), 1)


class RefusedTests(ChangeTestCase):
    """A route whose port is taken."""

    added = PushRoute(QueueDestination("s"), "tcp:4", ack=True)

    def setUp(self) -> None:
        super().setUp()
        self.reactor.taken.add(4)
        self.change(PUSH, self.added)

    def test_it_is_logged_in_a_line(self) -> None:
        self.assertEqual(
            self.logged,
            ["push /queue/s@tcp:4 is not carried: cannot listen on tcp:4: Address already in use"],
        )

    def test_the_others_are_changed(self) -> None:
        self.assertEqual(self.bridge.routes, (PUSH,))

    def test_nothing_of_it_is_left(self) -> None:
        self.assertEqual(len(self.client._users), 2)  # the client's own publisher and that of PUSH

    def test_it_is_tried_again_with_the_next_change(self) -> None:
        self.reactor.taken.clear()
        self.change(PUSH, self.added)
        self.assertEqual(self.bridge.routes, (PUSH, self.added))
        self.assertEqual(self.push(self.connect(4), b"x"), b"OK\n")

    def test_endpoint_that_can_not_be_made_is_logged_too(self) -> None:
        self.logged.clear()
        self.change(PUSH, PushRoute(QueueDestination("s"), "ssl:5:privateKey=/nowhere/key.pem"))
        (line,) = self.logged
        self.assertIn("is not carried: ", line)

    def test_nothing_is_left_of_one_with_such_an_endpoint(self) -> None:
        endpoint = "ssl:5:privateKey=/nowhere/key.pem"
        for route in (PushRoute, PullRoute, SubscribeRoute, CallRoute):
            self.change(PUSH, route(TOPIC, endpoint))
        self.assertEqual(len(self.client._users), 2)
        self.assertEqual(self.queues(), 0)
        self.assertEqual(self.bridge.routes, (PUSH,))
        self.test_nothing_of_it_is_left()


class RestoredTests(ChangeTestCase):
    """A changed route whose new port is taken: the old one goes on."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor.taken.add(4)

    def test_it_is_carried_as_it_was(self) -> None:
        self.change(attrs.evolve(PUSH, endpoint="tcp:4"), OTHER_PUSH, PULL)
        self.assertEqual({*self.bridge.routes}, {PUSH, OTHER_PUSH, PULL})
        self.assertEqual(self.push(self.connect(1), b"x"), b"OK\n")

    def test_it_keeps_its_queue_and_what_is_in_it(self) -> None:
        self.publish(b"before")
        self.change(PUSH, OTHER_PUSH, attrs.evolve(PULL, endpoint="tcp:4"))
        self.publish(b"after")
        self.assertEqual(self.pulled(3), b"before\nafter\n")
        self.assertEqual(self.queues(), 1)

    def test_it_is_not_when_another_has_its_port(self) -> None:
        moved, other = attrs.evolve(PUSH, endpoint="tcp:4"), attrs.evolve(OTHER_PUSH, ack=False)
        other = attrs.evolve(other, endpoint="tcp:1")
        self.change(moved, other, PULL)
        self.assertEqual({*self.bridge.routes}, {other, PULL})
        self.assertEqual(len(self.logged), 2)

    def test_it_is_not_when_it_is_carried_as_it_was_changed(self) -> None:
        changed, other = attrs.evolve(PUSH, max_record=5), attrs.evolve(PUSH, endpoint="tcp:4")
        self.change(changed, other, OTHER_PUSH, PULL)
        self.assertEqual({*self.bridge.routes}, {changed, OTHER_PUSH, PULL})
        self.assertEqual(len(self.client._users), 3)  # its own publisher, those of two push routes

    def test_the_next_change_changes_it(self) -> None:
        moved = attrs.evolve(PUSH, endpoint="tcp:4")
        self.change(moved, OTHER_PUSH, PULL)
        self.reactor.taken.clear()
        self.change(moved, OTHER_PUSH, PULL)
        self.assertEqual({*self.bridge.routes}, {moved, OTHER_PUSH, PULL})


class StoppingTests(ChangeTestCase):
    """The bridge is stopped while a change is under way."""

    def test_it_stops_when_the_change_has_ended_and_begins_nothing(self) -> None:
        wire = self.connect(1)
        changing = self.bridge.change([attrs.evolve(PUSH, max_record=5)])
        stopping: Any = self.bridge.stopService()
        self.broker.advance()
        self.assertNoResult(stopping)
        wire.end()
        self.broker.advance(30)
        self.successResultOf(changing)
        self.successResultOf(stopping)
        self.assertEqual(self.reactor.factories, {})
