"""`netdemo.amqp.writer`: each write is a message, and who writes too fast is paused."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.amqp.window import Window
from netdemo.amqp.writer import MessageWriter
from netdemo.errors import NackedError
from tests.producer import Producer
from tests.publishing import Publishing


class WriterTests(SynchronousTestCase):
    """A writer with a window of two messages or ten bytes."""

    def setUp(self) -> None:
        self.on = Publishing()
        self.writer = MessageWriter(self.on.publisher.publish, "", "q", window=Window(2, 10))
        self.producer = Producer()

    def test_provides_its_interface(self) -> None:
        verifyObject(IConsumer, self.writer)

    def test_each_write_is_a_message(self) -> None:
        for body in (b"a", b"b"):
            self.writer.write(body)
        publish, _, body, *_ = self.on.peer.received()
        self.assertEqual((publish.method.routing_key, body.fragment), ("q", b"a"))
        self.assertTrue(publish.method.mandatory)

    def test_finishes_with_the_count_when_all_are_confirmed(self) -> None:
        self.writer.write(b"a")
        self.writer.write(b"b")
        finished = self.writer.finish()
        self.on.ack(1)
        self.assertNoResult(finished)
        self.on.ack(2)
        self.assertEqual(self.successResultOf(finished), 2)

    def test_of_nothing_finishes_at_once(self) -> None:
        self.assertEqual(self.successResultOf(self.writer.finish()), 0)

    def test_producer_is_paused_while_the_window_is_full(self) -> None:
        self.writer.registerProducer(self.producer, True)
        self.writer.write(b"a")
        self.assertEqual(self.producer.told, [])
        self.writer.write(b"b")
        self.assertEqual(self.producer.told, ["pause"])
        self.on.ack(1)
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_bytes_fill_it_too(self) -> None:
        self.writer.registerProducer(self.producer, True)
        self.writer.write(bytes(10))
        self.assertEqual(self.producer.told, ["pause"])

    def test_one_that_comes_when_it_is_full_is_paused_at_once(self) -> None:
        self.writer.write(bytes(10))
        self.writer.registerProducer(self.producer, True)
        self.assertEqual(self.producer.told, ["pause"])
        self.on.ack(1)
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_what_is_written_beyond_the_window_is_published_all_the_same(self) -> None:
        self.writer.registerProducer(self.producer, True)
        for number in range(4):
            self.writer.write(b"%d" % number)
        self.on.ack(2, multiple=True)
        self.assertEqual(self.producer.told, ["pause"])
        self.on.ack(3)
        self.assertEqual(self.producer.told, ["pause", "resume"])
        self.assertEqual(self.on.sent(), [b"0", b"1", b"2", b"3"])

    def test_a_failure_stops_the_producer_and_what_comes_after_it(self) -> None:
        self.writer.registerProducer(self.producer, True)
        self.writer.write(b"a")
        self.writer.write(b"b")
        self.on.nack(1)
        self.on.ack(2)
        self.writer.write(b"c")
        self.assertEqual(self.on.sent(), [b"a", b"b"])
        self.assertIn("stop", self.producer.told)
        error = self.failureResultOf(self.writer.finish(), NackedError).value
        self.assertEqual(error.message.body, b"a")

    def test_a_producer_that_was_stopped_is_not_resumed(self) -> None:
        self.writer.registerProducer(self.producer, True)
        self.writer.write(bytes(10))
        self.on.nack(1)
        self.failureResultOf(self.writer.finish(), NackedError)
        self.assertEqual(self.producer.told, ["pause", "stop"])

    def test_of_several_failures_the_first_is_told(self) -> None:
        self.writer.write(b"a")
        self.writer.write(b"b")
        self.on.nack(2, multiple=True)
        error = self.failureResultOf(self.writer.finish(), NackedError).value
        self.assertEqual(error.message.body, b"a")
