"""`Publisher` on a broker that answers as RabbitMQ does: what became of each message."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from netdemo.amqp import Message, Publisher, Queue, Topology, Window
from netdemo.errors import NackedError, NotSentError, OutcomeUnknownError, UnroutableError
from tests.memory_clients import QUEUE, MemoryClientTestCase


class OutcomeTests(MemoryClientTestCase):
    """What `publish` fires with."""

    def send(self, body: bytes, routing_key: str = QUEUE, exchange: str = "") -> Deferred[None]:
        """Publish a message."""
        return self.client.publish(Message(body), exchange, routing_key)

    def test_no_outcome_is_wrong_among_routable_and_unroutable_in_flight(self) -> None:
        wanted = [number % 3 == 0 for number in range(300)]
        publishing = [
            self.send(b"%d" % number, QUEUE if good else "nowhere")
            for number, good in enumerate(wanted)
        ]
        outcomes: list[Any] = self.result(DeferredList(publishing, consumeErrors=True))
        self.assertEqual([success for success, _ in outcomes], wanted)
        for success, result in outcomes:
            self.assertTrue(success or result.check(UnroutableError), result)
        there = [b"%d" % number for number, good in enumerate(wanted) if good]
        self.assertEqual(self.collect(), there)

    def test_nacked_message_is_that_which_the_broker_refused(self) -> None:
        self.broker.nack_next_publish()
        first, second = self.send(b"one"), self.send(b"two")
        error = self.failure(first, NackedError)
        self.assertEqual(error.message.body, b"one")
        self.successResultOf(second)
        self.assertEqual(self.collect(), [b"two"])

    def test_messages_that_a_full_queue_refuses_are_nacked(self) -> None:
        limit = {"x-max-length": 2, "x-overflow": "reject-publish"}
        self.result(self.client.declare(Topology(queues=(Queue("full", arguments=limit),))))
        publishing = [self.send(b"%d" % number, "full") for number in range(5)]
        outcomes: list[Any] = self.result(DeferredList(publishing, consumeErrors=True))
        self.assertEqual([success for success, _ in outcomes], [True] * 2 + [False] * 3)
        self.assertIsNotNone(outcomes[-1][1].check(NackedError))

    def test_missing_exchange_costs_only_the_message_for_it(self) -> None:
        first, bad, last = self.send(b"one"), self.send(b"bad", "", "nowhere"), self.send(b"two")
        self.network.advance(10)
        error = self.failure(bad, NotSentError)
        self.assertEqual((error.message.body, error.reply_code), (b"bad", 404))
        self.successResultOf(first)
        self.successResultOf(last)

    def test_message_whose_confirm_is_lost_is_published_again(self) -> None:
        self.broker.drop_before_next_confirm()
        publishing = self.send(b"one")
        self.network.advance()
        self.assertNoResult(publishing)
        self.result(publishing, 1)
        self.assertEqual(self.collect(), [b"one", b"one"])

    def test_message_whose_confirm_is_lost_is_not_published_again_unasked(self) -> None:
        publisher = Publisher(republish=False)
        self.client.add(publisher)
        self.network.advance()
        self.broker.drop_before_next_confirm()
        publishing = publisher.publish(Message(b"one"), routing_key=QUEUE)
        self.failure(publishing, OutcomeUnknownError)
        self.network.advance(1)
        self.assertEqual(self.collect(), [b"one"])

    def test_messages_for_a_broker_that_is_away_wait_for_it(self) -> None:
        self.broker.stop()
        self.network.advance()
        publishing = self.send(b"one")
        self.network.advance(5)
        self.assertNoResult(publishing)
        self.broker.start()
        self.result(publishing, 10)
        self.assertEqual(self.collect(), [b"one"])


class BlockedTests(MemoryClientTestCase):
    """A broker that takes nothing for an alarm of its own."""

    def test_what_is_published_meanwhile_is_taken_afterwards(self) -> None:
        self.broker.block("low on disk")
        window = Publisher(window=Window(messages=1))
        self.client.add(window)
        publishing = [window.publish(Message(b"%d" % n), routing_key=QUEUE) for n in range(5)]
        self.network.advance(5)
        self.assertEqual(self.client.status.state, "blocked")
        self.assertEqual(str(self.client.status.reason), "low on disk")
        for each in publishing:
            self.assertNoResult(each)
        self.broker.unblock()
        self.result(DeferredList(publishing))
        self.assertEqual(self.client.status.state, "ready")
        self.assertEqual(self.ready(), 5)

    def test_consumers_on_another_connection_go_on(self) -> None:
        self.publish(b"one")
        self.broker.block()
        waiting = self.client.publish(Message(b"two"), routing_key=QUEUE)
        self.network.advance()
        other = self.add_client()
        self.network.advance()
        self.assertEqual(self.collect(other), [b"one"])
        self.broker.unblock()
        self.result(waiting)
