"""Clients that do not read what they are sent: it waits in the broker, within limits."""

from __future__ import annotations

from pika import BasicProperties, spec
from pika.frame import Header

from netdemo.broker.connection import MAX_REPLIES
from netdemo.broker.wire import write_method
from tests.broker_peer import BrokerPeer, BrokerPeerTestCase, publication

MIB = 1024 * 1024
BODY = bytes(MIB)


class SlowReaderTests(BrokerPeerTestCase):
    """A client for which 64 KiB wait, and others that make the broker send to it."""

    def setUp(self) -> None:
        super().setUp()
        self.publisher = self.connect()
        self.slow = self.connect()
        self.slow.room = 65536

    def fill(self, queue: str, count: int) -> None:
        """Put so many large messages into a queue."""
        self.publisher.call(spec.Queue.Declare(queue=queue))
        for _ in range(count):
            self.publisher.publish(queue, BODY)

    def test_gets_that_came_at_once_are_answered_as_they_are_read(self) -> None:
        self.fill("q", 10)
        self.slow.send(write_method(1, spec.Basic.Get(queue="q", no_ack=True)) * 11)
        for left in range(9, -1, -1):
            self.assertFalse(self.slow.reading)
            self.assertEqual(left, self.vhost.queue("q").count())
            self.assertLess(len(self.slow.unread), 1.01 * MIB)
            self.slow.resume()
        self.assertTrue(self.slow.reading)
        self.assertIsInstance(self.slow.methods()[0], spec.Basic.GetEmpty)

    def test_what_came_at_once_is_taken_in_order_with_what_comes_later(self) -> None:
        self.fill("q", 1)
        get = write_method(1, spec.Basic.Get(queue="q", no_ack=True))
        self.slow.send(get + publication(1, "", "q", b"one") + publication(1, "", "q", b"two"))
        self.assertEqual(0, self.vhost.queue("q").count())
        self.slow.resume()
        self.slow.send(get)
        self.assertEqual(b"one", self.slow.received()[-1].fragment)

    def test_gets_of_one_who_has_left_are_not_answered(self) -> None:
        self.fill("q", 3)
        self.slow.send(write_method(1, spec.Basic.Get(queue="q")) * 3)
        self.slow.end()
        self.assertEqual(3, self.vhost.queue("q").count())

    def test_consumer_gets_what_it_has_room_for(self) -> None:
        self.fill("q", 10)
        self.slow.call(spec.Basic.Consume(queue="q", no_ack=True))
        self.assertEqual(9, self.vhost.queue("q").count())
        self.slow.resume()
        self.assertEqual(8, self.vhost.queue("q").count())

    def reply_to(self, slow: BrokerPeer) -> str:
        """Let a peer wait for replies; return their routing key."""
        slow.call(
            spec.Queue.Declare(queue="calls"),
            spec.Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=True),
        )
        header = Header(1, 0, BasicProperties(reply_to="amq.rabbitmq.reply-to")).marshal()
        slow.send(write_method(1, spec.Basic.Publish(routing_key="calls")) + header)
        (_, got) = self.publisher.call(spec.Basic.Get(queue="calls", no_ack=True))
        return str(got.properties.reply_to)

    def test_replies_that_are_not_read_are_lost_above_a_limit(self) -> None:
        key = self.reply_to(self.slow)
        for _ in range(2 * MAX_REPLIES // MIB):
            self.publisher.publish(key, BODY)
        self.assertLess(len(self.slow.unread), MAX_REPLIES + 3 * MIB)
        self.slow.resume()
        self.publisher.publish(key, BODY)
        self.assertGreater(len(self.slow.unread), MIB)
