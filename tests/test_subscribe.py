"""`netdemo.bridge.subscribe`: a copy of each message for every client."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs

from netdemo.address import ExchangeDestination, QueueDestination
from netdemo.amqp import Message
from netdemo.bridge.clients import LINGER
from netdemo.bridge.routes import SubscribeRoute
from netdemo.bridge.subscribe import STALL, SubscribeFactory, SubscribeProtocol
from netdemo.listening import Refused
from tests.memory_clients import QUEUE, MemoryClientTestCase
from tests.pulling import ReadWire

KEY = "news"


class SubscribeTestCase(MemoryClientTestCase):
    """A subscribe route, to which nobody is connected yet."""

    destination: Any = ExchangeDestination("amq.topic", KEY)
    options: dict[str, Any] = {}  # noqa: RUF012

    def setUp(self) -> None:
        super().setUp()
        options = {"prefetch": 3, "buffer": 20, **self.options}
        self.factory = SubscribeFactory(
            SubscribeRoute(self.destination, "tcp:7003", **options), self.client
        )
        self.addCleanup(self.end_all)
        self.network.advance()

    def end_all(self) -> None:
        """End the route and all connections."""
        for protocol in list(self.factory.connections):
            protocol.transport.end()
        self.factory.withdraw()
        self.network.advance()

    def connect(self) -> tuple[SubscribeProtocol, ReadWire]:
        """Connect a TCP client."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, SubscribeProtocol)
        wire = ReadWire(protocol)
        protocol.makeConnection(wire)
        self.network.advance()
        return protocol, wire

    def tell(self, *bodies: bytes) -> None:
        """Publish messages for the route, one after another."""
        for body in bodies:
            self.result(self.client.publish(Message(body), "amq.topic", KEY, mandatory=False))

    def waits(self) -> int:
        """Return how many messages wait in the route's queue."""
        return self.ready(self.factory.source.queue)


class CopyTests(SubscribeTestCase):
    """Who gets what."""

    def test_everybody_gets_everything_and_the_same_bytes(self) -> None:
        wires = [self.connect()[1] for _ in range(2)]
        self.tell(b"a", b"b")
        self.assertIs(wires[0].written[0], wires[1].written[0])
        self.assertEqual([wire.take() for wire in wires], [b"a\nb\n"] * 2)
        self.assertEqual(self.factory.delivered, 2)

    def test_what_comes_while_nobody_is_there_is_for_nobody(self) -> None:
        self.tell(*[b"a"] * 5)
        _, wire = self.connect()
        self.tell(b"b")
        self.assertEqual(wire.take(), b"b\n")
        self.assertEqual(self.waits(), 0)

    def test_who_comes_later_gets_what_comes_later(self) -> None:
        _, first = self.connect()
        self.tell(b"a")
        _, second = self.connect()
        self.tell(b"b")
        self.assertEqual((first.take(), second.take()), (b"a\nb\n", b"b\n"))

    def test_what_clients_send_is_dropped(self) -> None:
        client, wire = self.connect()
        client.dataReceived(b"hello?\n")
        self.assertTrue(wire.connected)

    def test_what_can_not_be_written_is_rejected_and_told(self) -> None:
        _, wire = self.connect()
        with capturedLogs() as logged:
            self.tell(b"a\nb", b"c")
        self.assertEqual(wire.take(), b"c\n")
        self.assertEqual((self.factory.rejected, self.waits()), (1, 0))
        (event,) = (each for each in logged if each["log_level"] is LogLevel.error)
        self.assertIn("is rejected", event["log_format"])

    def test_next_connection_to_the_broker_has_the_queue_again(self) -> None:
        _, wire = self.connect()
        self.tell(b"a")
        self.broker.drop()
        self.network.advance(5)
        self.tell(b"b")
        self.assertEqual(wire.take(), b"a\nb\n")

    def test_route_that_is_over_leaves_no_queue(self) -> None:
        self.factory.withdraw()
        self.network.advance()
        self.assertNotIn(self.factory.source.queue, self.broker.broker.vhost("/").queues)


class PaceTests(SubscribeTestCase):
    """The fastest client sets the pace."""

    def test_no_more_than_the_prefetch_is_sent_before_somebody_takes_it(self) -> None:
        _, wire = self.connect()
        self.connect()
        self.tell(b"1", b"2", b"3", b"4")
        self.assertEqual(self.waits(), 1)
        wire.take()
        self.network.advance()
        self.assertEqual(self.waits(), 0)

    def test_client_that_is_too_far_behind_is_dropped_and_told_and_others_go_on(self) -> None:
        _, reader = self.connect()
        sleeper, wire = self.connect()
        taken = b""
        with capturedLogs() as logged:
            for number in range(12):  # 2 bytes each: the eleventh is beyond 20
                self.assertTrue(wire.connected, number)
                self.tell(b"%d" % (number % 10))
                taken += reader.take()
        self.assertFalse(wire.connected)
        self.assertEqual(taken.replace(b"\n", b""), b"012345678901")
        self.assertEqual(self.factory.dropped, 1)
        (event,) = (each for each in logged if each["log_level"] is LogLevel.warn)
        self.assertEqual(event["buffer"], 20)
        self.assertEqual(len(sleeper.waiting), 0)

    def test_client_that_catches_up_is_not(self) -> None:
        _, reader = self.connect()
        _, slow = self.connect()
        for _ in range(5):
            for _ in range(5):
                self.tell(b"x")
                reader.take()
            self.assertEqual(slow.take(), b"x\n" * 5)
        self.assertTrue(slow.connected)

    def test_longest_messages_drop_no_client_that_is_alone(self) -> None:
        _, wire = self.connect()
        self.tell(b"x" * 50, b"y" * 50, b"z" * 50)
        self.assertTrue(wire.connected)
        self.assertEqual(len(wire.take()), 153)

    def test_who_comes_waits_for_nobody(self) -> None:
        self.connect()
        self.tell(b"1", b"2", b"3")
        _, wire = self.connect()
        self.tell(b"4")
        self.assertEqual(wire.take(), b"4\n")

    def test_who_comes_gets_what_is_sent_from_then_on_at_once(self) -> None:
        self.connect()
        self.tell(b"1", b"2", b"3")
        self.broker.close_channels(406, "x")
        self.network.advance(2)  # they come again, and wait until those before them are done
        _, wire = self.connect()
        self.assertEqual(wire.take(), b"1\n2\n3\n")

    def test_queue_does_not_fill_for_clients_none_of_which_reads(self) -> None:
        _, wire = self.connect()
        self.tell(*[b"%d" % number for number in range(10)])
        self.assertEqual(self.waits(), 7)
        self.network.advance(STALL)
        self.assertEqual(self.waits(), 0)
        self.assertTrue(wire.connected)
        self.tell(b"x", b"y")
        self.assertFalse(wire.connected)

    def test_client_that_takes_something_sets_the_pace_again(self) -> None:
        _, wire = self.connect()
        self.tell(b"1")
        self.network.advance(STALL)
        wire.take()
        self.tell(b"1", b"2", b"3", b"4")
        self.assertEqual(self.waits(), 1)


class IdleTests(SubscribeTestCase):
    """`idle_timeout`."""

    options = {"idle_timeout": 10.0}  # noqa: RUF012

    def test_client_that_takes_nothing_is_dropped(self) -> None:
        _, wire = self.connect()
        self.tell(b"1")
        self.network.advance(10)
        self.assertFalse(wire.connected)
        self.assertEqual(self.factory.idle, 1)

    def test_client_for_whom_nothing_waits_is_not(self) -> None:
        _, wire = self.connect()
        self.tell(b"1")
        wire.take()
        self.network.advance(60)
        self.assertTrue(wire.connected)


class QueueTests(SubscribeTestCase):
    """A queue by name."""

    destination = QueueDestination(QUEUE)

    def test_messages_wait_while_nobody_is_connected(self) -> None:
        self.publish(b"1", b"2")
        self.assertEqual(self.ready(), 2)
        _, wire = self.connect()
        self.assertEqual(wire.take(), b"1\n2\n")
        wire.end()
        self.network.advance()
        self.publish(b"3")
        self.assertEqual(self.ready(), 1)
        self.assertEqual(self.connect()[1].take(), b"3\n")

    def test_what_nobody_took_goes_back_with_the_last_client(self) -> None:
        wires = [self.connect()[1] for _ in range(2)]
        self.publish(b"1", b"2", b"3")
        for wire in wires:
            wire.end()
        self.network.advance()
        self.assertEqual(self.ready(), 3)
        self.assertEqual(self.connect()[1].take(), b"1\n2\n3\n")

    def test_it_waits_as_long_as_nobody_reads(self) -> None:
        self.connect()
        self.publish(b"1", b"2", b"3", b"4")
        self.network.advance(10 * STALL)
        self.assertEqual(self.ready(), 1)

    def test_stopped_route_takes_nothing_more_and_works_again_afterwards(self) -> None:
        _, wire = self.connect()
        self.publish(b"1")
        stopped = self.factory.stop()
        self.publish(b"2")
        self.assertEqual(wire.take(), b"1\n")
        wire.end()
        self.successResultOf(stopped)
        self.network.advance()
        self.assertEqual(self.ready(), 1)
        self.assertEqual(self.connect()[1].take(), b"2\n")


class StoppingTests(SubscribeTestCase):
    """`SubscribeFactory.stop`."""

    def test_clients_get_what_waits_for_them_and_no_more(self) -> None:
        _, wire = self.connect()
        self.tell(b"1", b"2")
        stopped = self.factory.stop()
        self.assertTrue(wire.disconnecting)
        self.tell(b"3")
        self.assertEqual(wire.take(), b"1\n2\n")
        self.assertIsInstance(self.factory.buildProtocol(None), Refused)
        wire.end()
        self.successResultOf(stopped)
        self.network.advance()
        self.assertEqual(self.waits(), 0)

    def test_client_that_does_not_read_is_aborted(self) -> None:
        _, wire = self.connect()
        self.tell(b"1")
        stopped = self.factory.stop()
        self.network.advance(LINGER)
        self.assertFalse(wire.connected)
        self.successResultOf(stopped)
