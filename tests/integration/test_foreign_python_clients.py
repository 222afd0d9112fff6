"""Python's clients on our broker: pika's BlockingConnection, and kombu with py-amqp."""

from __future__ import annotations

import queue
import socket
from typing import TYPE_CHECKING, Any

import kombu
import pika
from pika.exceptions import (
    ChannelClosedByBroker,
    NackError,
    ProbableAuthenticationError,
    UnroutableError,
)

from tests.broker_process import BrokerProcessTestCase
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel


class PikaTests(BrokerProcessTestCase):
    """Pika's BlockingConnection."""

    def setUp(self) -> None:
        super().setUp()
        self.connection = pika.BlockingConnection(pika.URLParameters(self.broker.url))
        self.addCleanup(self.connection.close)
        self.channel: BlockingChannel = self.connection.channel()

    def bodies(self, name: str) -> list[bytes | None]:
        """Take what is ready in a queue."""
        bodies = []
        while (got := self.channel.basic_get(name, auto_ack=True))[0] is not None:
            bodies.append(got[2])
        return bodies

    def test_confirmed_message_comes_back_with_its_properties(self) -> None:
        self.channel.confirm_delivery()
        self.channel.queue_declare("q")
        sent = pika.BasicProperties(
            content_type="text/plain",
            headers={"number": 1, "list": ["a", {"b": None}], "large": 1 << 40, "true": True},
            delivery_mode=2,
            priority=3,
            correlation_id="c",
            message_id="m",
            timestamp=1_700_000_000,
            type="t",
            user_id="guest",
            app_id="a",
        )
        self.channel.basic_publish("", "q", b"body", sent, mandatory=True)
        _, got, body = self.channel.basic_get("q", auto_ack=True)
        self.assertEqual((b"body", sent), (body, got))

    def test_unroutable_message_comes_back(self) -> None:
        self.channel.confirm_delivery()
        with self.assertRaises(UnroutableError) as caught:
            self.channel.basic_publish("", "nobody", b"back", mandatory=True)
        self.assertEqual([b"back"], [each.body for each in caught.exception.messages])

    def test_full_queue_refuses_what_is_published(self) -> None:
        self.channel.confirm_delivery()
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        self.channel.queue_declare("q", arguments=arguments)
        self.channel.basic_publish("", "q", b"1")
        with self.assertRaises(NackError):
            self.channel.basic_publish("", "q", b"2")

    def test_exchanges_of_each_type_route(self) -> None:
        bindings: dict[str, tuple[str, dict[str, Any] | None]] = {
            "direct": ("a.b", None),
            "fanout": ("", None),
            "topic": ("#.b", None),
            "headers": ("", {"x-match": "any", "h": 1}),
        }
        for kind, (key, arguments) in bindings.items():
            self.channel.exchange_declare(f"x-{kind}", kind)
            self.channel.queue_declare(kind)
            self.channel.queue_bind(kind, f"x-{kind}", key, arguments)
            properties = pika.BasicProperties(headers={"h": 1})
            for routing_key in ("a.b", "c"):
                self.channel.basic_publish(f"x-{kind}", routing_key, b"%b", properties)
            both = kind in ("fanout", "headers")
            self.assertEqual([b"%b"] * (2 if both else 1), self.bodies(kind), kind)

    def test_consumer_holds_no_more_than_its_prefetch(self) -> None:
        self.channel.queue_declare("q")
        for number in range(5):
            self.channel.basic_publish("", "q", b"%d" % number)
        self.channel.basic_qos(prefetch_count=2)
        got: list[tuple[int, bytes]] = []

        def take(_: Any, deliver: Any, __: Any, body: bytes) -> None:
            got.append((deliver.delivery_tag, body))

        tag = self.channel.basic_consume("q", take)
        self.assertEqual(3, self.channel.queue_declare("q", passive=True).method.message_count)
        self.connection.process_data_events(0)
        self.assertEqual([(1, b"0"), (2, b"1")], got)
        self.channel.basic_nack(2, multiple=True, requeue=True)
        self.channel.basic_cancel(tag)
        self.assertEqual([b"%d" % number for number in range(5)], self.bodies("q"))

    def test_generator_of_messages_takes_them_all(self) -> None:
        self.channel.queue_declare("q")
        for number in range(1000):
            self.channel.basic_publish("", "q", b"%d" % number)
        bodies = []
        for deliver, _, body in self.channel.consume("q", inactivity_timeout=PATIENCE):
            assert deliver is not None
            bodies.append(int(body or b""))
            self.channel.basic_ack(deliver.delivery_tag)
            if len(bodies) == 1000:
                break
        self.assertEqual(0, self.channel.cancel())
        self.assertEqual(list(range(1000)), bodies)

    def test_expired_message_goes_to_the_dead_letter_exchange(self) -> None:
        self.channel.queue_declare("dead")
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        self.channel.queue_declare("q", arguments=arguments | {"x-message-ttl": 10})
        self.channel.basic_publish("", "q", b"short")
        deliver, properties, body = next(
            iter(self.channel.consume("dead", inactivity_timeout=PATIENCE))
        )
        assert deliver is not None
        assert properties is not None
        assert properties.headers is not None
        (death,) = properties.headers["x-death"]
        self.assertEqual((b"short", "expired", "q"), (body, death["reason"], death["queue"]))

    def test_transaction_is_rolled_back_and_committed(self) -> None:
        self.channel.queue_declare("q")
        self.channel.tx_select()
        self.channel.basic_publish("", "q", b"no")
        self.channel.tx_rollback()
        self.channel.basic_publish("", "q", b"yes")
        self.assertEqual([], self.bodies("q"))
        self.channel.tx_commit()
        self.assertEqual([b"yes"], self.bodies("q"))

    def test_error_closes_the_channel_alone(self) -> None:
        with self.assertRaises(ChannelClosedByBroker) as caught:
            self.channel.queue_declare("q", passive=True)
        self.assertEqual(
            (404, "NOT_FOUND - no queue 'q' in vhost '/'"),
            (caught.exception.reply_code, caught.exception.reply_text),
        )
        self.assertTrue(self.connection.channel().is_open)

    def test_wrong_password_is_refused(self) -> None:
        parameters = pika.URLParameters(self.broker.url)
        parameters.credentials = pika.PlainCredentials("guest", "wrong")
        with self.assertRaises(ProbableAuthenticationError) as caught:
            pika.BlockingConnection(parameters)
        self.assertIn("ACCESS_REFUSED - Login was refused", str(caught.exception))


class KombuTests(BrokerProcessTestCase):
    """Kombu, whose transport "pyamqp" is py-amqp."""

    def setUp(self) -> None:
        super().setUp()
        self.connection = self.connect()

    def connect(self, **options: Any) -> kombu.Connection:
        """Return a connection."""
        url = self.broker.url.replace("amqp://", "pyamqp://") + "/"
        connection = kombu.Connection(url, **options)
        self.addCleanup(connection.release)
        connection.connect()
        return connection

    def test_simple_queue_passes_objects_on(self) -> None:
        simple = self.connection.SimpleQueue("simple")
        self.addCleanup(simple.close)
        for number in range(10):
            simple.put({"number": number})
        for number in range(10):
            message = simple.get(timeout=PATIENCE)
            self.assertEqual({"number": number}, message.payload)
            message.ack()
        self.assertEqual(0, simple.qsize())
        with self.assertRaises(queue.Empty):
            simple.get(block=False)

    def test_producer_declares_and_consumer_gets(self) -> None:
        exchange = kombu.Exchange("tasks", "topic", durable=True)
        tasks = kombu.Queue("tasks", exchange, routing_key="task.#", max_length=100)
        got: list[Any] = []

        def take(body: Any, message: Any) -> None:
            got.append((body, message.delivery_info["routing_key"]))
            message.ack()

        with self.connection.Consumer(tasks, callbacks=[take], prefetch_count=10):
            producer = self.connection.Producer()
            for number in range(100):
                producer.publish(
                    [number], exchange=exchange, routing_key=f"task.{number}", declare=[tasks]
                )
            while len(got) < 100:
                self.connection.drain_events(timeout=PATIENCE)
        self.assertEqual([([number], f"task.{number}") for number in range(100)], got)

    def test_publishing_waits_for_confirms(self) -> None:
        connection = self.connect(transport_options={"confirm_publish": True})
        simple = connection.SimpleQueue("confirmed")
        self.addCleanup(simple.close)
        for number in range(100):
            simple.put(number)
        self.assertEqual(100, simple.qsize())

    def test_mandatory_message_is_returned(self) -> None:
        returned: list[Any] = []
        with self.connection.channel() as channel:
            producer = self.connection.Producer(
                channel, on_return=lambda *args: returned.append(args)
            )
            producer.publish("back", exchange="", routing_key="nobody", mandatory=True)
            self.connection.drain_events(timeout=PATIENCE)
        self.assertEqual(("", "nobody"), returned[0][1:3])

    def test_rejected_message_goes_to_the_dead_letter_queue(self) -> None:
        dead = kombu.Queue("dead", kombu.Exchange("dead", "fanout"))
        alive = kombu.Queue("alive", queue_arguments={"x-dead-letter-exchange": "dead"})
        with self.connection.channel() as channel:
            for each in (dead, alive):
                each(channel).declare()
            kombu.Producer(channel).publish("bad", routing_key="alive")
            alive(channel).get().reject()
            message = dead(channel).get(no_ack=True)
            assert message is not None
            self.assertEqual("bad", message.payload)
            self.assertEqual("rejected", message.headers["x-death"][0]["reason"])

    def test_heartbeats_keep_an_idle_connection(self) -> None:
        connection = self.connect(heartbeat=1)
        simple = connection.SimpleQueue("idle")
        self.addCleanup(simple.close)
        for _ in range(12):  # 3 s: longer than it takes to be given up
            with self.assertRaises(socket.timeout):
                connection.drain_events(timeout=0.25)  # less than lies between two heartbeats
            connection.heartbeat_check()
        simple.put("alive")
        self.assertEqual("alive", simple.get(timeout=PATIENCE).payload)
