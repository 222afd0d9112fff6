"""`netdemo.bridge.pull`: messages out, acknowledged when the kernel has them."""

from __future__ import annotations

from typing import Any

from pika import BasicProperties, spec
from twisted.internet.interfaces import IPullProducer
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from netdemo.address import QueueDestination
from netdemo.amqp.client import STOP_TIMEOUT, AMQPClient
from netdemo.amqp.destination import source
from netdemo.bridge.pull import PullFactory, PullProtocol
from netdemo.bridge.routes import PullRoute
from tests.clients import memory_endpoint
from tests.peer import connected
from tests.wire import Wire


class PullTestCase(TestCase):
    """A pull route with one TCP client; its consumer has channel 2."""

    asked: list[Any]

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.amqp = AMQPClient(["amqp://one:1"], self.reactor, endpoint=memory_endpoint)
        self.amqp.startService()
        self.addCleanup(self.stop)
        self.broker = connected(self.reactor).let_in()
        self.broker.agree()
        self.factory = PullFactory(
            PullRoute(QueueDestination("q"), "tcp:7002", prefetch=3),
            source(QueueDestination("q")),
            self.amqp,
        )
        self.client, self.wire = self.connect()

    def stop(self) -> None:
        """Stop the AMQP client, to which the broker answers nothing any more."""
        for protocol in list(self.factory.connections):
            protocol.transport.end()
        stopping = self.amqp.stopService()
        self.reactor.advance(STOP_TIMEOUT)
        self.successResultOf(stopping)

    def connect(self) -> tuple[PullProtocol, Wire]:
        """Connect a TCP client; its consumer is accepted."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, PullProtocol)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        self.asked = self.broker.agree()
        return protocol, wire

    def deliver(self, body: bytes, tag: int = 1, channel: int = 2) -> None:
        """Deliver a message."""
        (consume,) = (each for each in self.asked if isinstance(each, spec.Basic.Consume))
        method = spec.Basic.Deliver(consume.consumer_tag, tag, False, "", "q")
        self.broker.send_content(method, BasicProperties(message_id="m"), body, channel=channel)

    def answers(self) -> list[tuple[str, int]]:
        """Return the names and tags of what was answered since this was asked last."""
        methods: list[Any] = [each.method for each in self.broker.received()]
        return [(each.NAME, each.delivery_tag) for each in methods if hasattr(each, "delivery_tag")]


class DeliveringTests(PullTestCase):
    """From the queue to the client."""

    def test_provides_its_interface(self) -> None:
        verifyObject(IPullProducer, self.client)

    def test_client_consumes_with_the_routes_prefetch_from_a_declared_queue(self) -> None:
        names = [each.NAME for each in self.asked]
        self.assertEqual(names, ["Channel.Open", "Queue.Declare", "Basic.Qos", "Basic.Consume"])
        self.assertEqual(self.asked[2].prefetch_count, 3)

    def test_each_message_is_a_line(self) -> None:
        self.deliver(b"a", 1)
        self.deliver(b"", 2)
        self.assertEqual(self.wire.value(), b"a\n\n")

    def test_acknowledged_when_the_transport_has_handed_it_to_the_kernel(self) -> None:
        self.deliver(b"a", 1)
        self.deliver(b"b", 2)
        self.assertEqual(self.answers(), [])
        self.assertIs(self.wire.producer, self.client)
        self.assertFalse(self.wire.streaming)
        self.client.resumeProducing()
        self.assertEqual(self.answers(), [("Basic.Ack", 1), ("Basic.Ack", 2)])
        self.assertEqual(self.factory.delivered, 2)
        self.assertIsNone(self.wire.producer)

    def test_next_messages_are_acknowledged_too(self) -> None:
        for tag in (1, 2):
            self.deliver(b"a", tag)
            self.client.resumeProducing()
        self.assertEqual(self.answers(), [("Basic.Ack", 1), ("Basic.Ack", 2)])

    def test_transport_that_asks_before_anything_is_written_acknowledges_nothing(self) -> None:
        self.client.resumeProducing()
        self.deliver(b"a", 1)
        self.assertEqual(self.answers(), [])

    def test_what_the_client_sends_is_dropped(self) -> None:
        self.client.dataReceived(b"hello?\n")
        self.assertEqual(self.wire.value(), b"")

    def test_message_with_a_newline_is_kept_and_told_and_not_altered(self) -> None:
        self.deliver(b"a\nb", 1)
        self.deliver(b"c", 2)
        self.client.resumeProducing()
        self.assertEqual(self.wire.value(), b"c\n")
        self.assertEqual(self.answers(), [("Basic.Ack", 2)])
        self.assertEqual(self.factory.kept, 1)

    def test_client_whose_messages_are_all_kept_is_told_in_the_log(self) -> None:
        with capturedLogs() as logged:
            for tag in (1, 2, 3):
                self.deliver(b"a\nb", tag)
        formats = [event["log_format"] for event in logged if event["log_level"] is LogLevel.error]
        self.assertEqual(len(formats), 4)
        self.assertIn("gets no more messages", formats[-1])
        self.assertEqual(logged[-1]["count"], 3)


class LeavingTests(PullTestCase):
    """A client that leaves gives its messages back."""

    def test_unsent_and_kept_messages_go_back_and_the_channel_is_closed(self) -> None:
        self.deliver(b"a", 1)
        self.deliver(b"b\nb", 2)
        self.wire.end()
        answers: list[Any] = [each.method for each in self.broker.received()]
        self.assertEqual(
            [(each.NAME, each.delivery_tag, each.requeue) for each in answers[:2]],
            [("Basic.Nack", 1, True), ("Basic.Nack", 2, True)],
        )
        self.assertIn("Basic.Cancel", [each.NAME for each in answers[2:]])

    def test_others_go_on(self) -> None:
        first_asked = self.asked
        self.connect()
        self.client.transport.abortConnection()
        self.broker.agree()
        self.deliver(b"x", 1, channel=3)
        self.assertNotEqual(self.asked, first_asked)
        self.assertEqual(len(self.factory.connections), 1)


class StoppingTests(PullTestCase):
    """`PullFactory.stop`."""

    def test_connections_are_closed_when_what_was_written_is_sent(self) -> None:
        self.deliver(b"a", 1)
        self.deliver(b"b\nb", 2)
        self.factory.stop()
        self.assertEqual(self.answers(), [("Basic.Nack", 2)])
        self.assertTrue(self.wire.disconnecting)
        self.client.resumeProducing()
        self.assertEqual(self.answers(), [("Basic.Ack", 1)])
