"""What `netdemo.amqp` comes to on any real broker, RabbitMQ or ours."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from pika import BasicProperties
from pika.frame import Header
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, DeferredQueue

from netdemo.amqp import (
    AMQPClient,
    Binding,
    Consumer,
    Exchange,
    Message,
    Publisher,
    Queue,
    Reject,
    Topology,
    Window,
)
from netdemo.errors import (
    ConnectionClosed,
    DeclarationError,
    NackedError,
    NotSentError,
    UnroutableError,
)
from tests.ready_clients import ReadyClientTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.amqp import Delivery


class Outcomes(ReadyClientTestCase):
    """What `publish` fires with is what became of the message."""

    async def test_no_outcome_is_wrong_among_routable_and_unroutable_in_flight(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        wanted = [random.random() < 0.5 for _ in range(10_000)]
        outcomes: list[Any] = await DeferredList(
            [
                self.client.publish(Message(b"%d" % number), "", self.queue if good else "nowhere")
                for number, good in enumerate(wanted)
            ],
            consumeErrors=True,
        )
        wrong = [
            number
            for number, (success, result) in enumerate(outcomes)
            if success is not wanted[number]
            or not (success or isinstance(result.value, UnroutableError))
        ]
        self.assertEqual(wrong, [])
        there = [b"%d" % number for number, good in enumerate(wanted) if good]
        self.assertEqual(await self.collect(len(there)), there)

    async def test_nacked_are_those_that_the_full_queue_refused(self) -> None:
        limit = {"x-max-length": 10, "x-overflow": "reject-publish"}
        publisher = Publisher(
            Topology(queues=(Queue(self.queue, arguments=limit),)), window=Window(messages=50)
        )
        self.client.add(publisher)
        await publisher.publish(Message(b"first"), "", self.queue)
        settled = DeferredList(
            [publisher.publish(Message(b"%d" % n), "", self.queue) for n in range(10_000)],
            consumeErrors=True,
        )
        bodies: DeferredQueue[bytes] = DeferredQueue()
        # Consumed meanwhile, so that there is room now and then.
        await self.client.consume(self.queue, lambda each: bodies.put(each.message.body), 10)
        outcomes: list[Any] = await settled
        taken = [b"%d" % n for n, (success, _) in enumerate(outcomes) if success]
        refused = [result.value for success, result in outcomes if not success]
        self.assertTrue(taken and refused)
        for error in refused:
            self.assertIsInstance(error, NackedError)
        for body in [b"first", *taken]:
            self.assertEqual(await bodies.get(), body)
        self.assertEqual(bodies.pending, [])

    async def test_missing_exchange_costs_only_the_message_for_it(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        good = [self.client.publish(Message(b"%d" % n), "", self.queue) for n in range(5)]
        bad = self.client.publish(Message(b"bad"), "nowhere", self.queue)
        good += [self.client.publish(Message(b"%d" % n), "", self.queue) for n in range(5, 10)]
        error = await self.failing(bad, NotSentError)
        self.assertEqual((error.message.body, error.reply_code), (b"bad", 404))
        for each in good:
            await each

    async def test_message_larger_than_a_frame_comes_back_whole(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        body = random.randbytes(1_000_000)
        await self.client.publish(
            Message(body, headers={"a": 1, "b": [True, None]}), "", self.queue
        )
        (message,) = await self.collect(1, lambda d: (d.message.body, str(d.message.headers)))
        self.assertEqual(message, (body, "{'a': 1, 'b': [True, None]}"))

    async def test_no_outcome_is_wrong_where_headers_decide(self) -> None:
        bound = Binding(self.queue, self.queue, arguments={"x-match": "all", "go": "yes"})
        exchange = Exchange(self.queue, "headers", auto_delete=True)
        queue = Queue(self.queue)
        await self.client.declare(Topology((exchange,), (queue,), (bound,)))
        wanted = [random.random() < 0.5 for _ in range(1000)]
        outcomes: list[Any] = await DeferredList(
            [
                self.client.publish(
                    Message(b"", headers={"go": "yes" if good else "no"}, message_id=None),
                    self.queue,
                )
                for good in wanted
            ],
            consumeErrors=True,
        )
        self.assertEqual([success for success, _ in outcomes], wanted)

    async def test_longest_headers_that_fit_are_taken_and_longer_ones_cost_nothing_else(
        self,
    ) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))

        def publish(length: int) -> Deferred[None]:
            message = Message(b"", headers={"h": "x" * length}, delivery_mode=None, message_id=None)
            return self.client.publish(message, "", self.queue)

        overhead = len(Header(1, 0, BasicProperties(headers={"h": ""})).marshal())
        await publish(131072 - overhead)
        await self.failing(publish(131072 - overhead + 1), NotSentError)
        self.assertEqual(self.client.status.state, "ready")


class Declarations(ReadyClientTestCase):
    """Topology that the broker refuses is told in its words, and touches nothing else."""

    async def test_queue_with_other_arguments(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        other = Topology(queues=(Queue(self.queue, durable=False),))
        error = await self.failing(self.client.declare(other), DeclarationError)
        self.assertEqual(error.reply_code, 406)
        self.assertIn("inequivalent arg 'durable' for queue", error.reply_text)
        await self.client.publish(Message(b"x"), "", self.queue)

    async def test_exclusive_queue_is_gone_when_nobody_declares_it_any_more(self) -> None:
        own = Topology(queues=(Queue(self.queue, durable=False, exclusive=True),))
        for _ in range(2):
            await self.client.declare(own)
        self.client.undeclare(own)
        await self.client.publish(Message(b"x"), "", self.queue)
        self.client.undeclare(own)
        await self.client.declare(Topology())  # which comes after it
        await self.failing(self.client.publish(Message(b"y"), "", self.queue), UnroutableError)

    async def test_exclusive_queue_that_is_consumed_goes_with_its_consumer(self) -> None:
        own = Topology(queues=(Queue(self.queue, durable=False, exclusive=True),))
        await self.client.declare(own)
        consumer = await self.client.consume(self.queue, lambda _: None)
        self.client.remove(consumer)
        self.client.undeclare(own)
        await self.client.declare(own)
        await self.client.publish(Message(b"x"), "", self.queue)
        self.assertEqual(await self.collect(1), [b"x"])

    async def test_durable_queue_stays_when_nobody_declares_it_any_more(self) -> None:
        work = Topology(queues=(Queue(self.queue),))
        await self.client.declare(work)
        self.client.undeclare(work)
        await self.client.declare(Topology())
        await self.client.publish(Message(b"x"), "", self.queue)

    async def test_refused_login_fails_in_the_brokers_words(self) -> None:
        url = self.url.replace(":guest@", ":wrong@")
        client = AMQPClient([url], reactor)
        client.startService()
        error = await self.failing(client.when_ready(fail_after_failures=1), ConnectionClosed)
        await client.stopService()
        self.assertEqual(error.reply_code, 403)
        self.assertTrue(error.reply_text.startswith("ACCESS_REFUSED - Login was refused"))


class Leaving(ReadyClientTestCase):
    """What was begun is ended, and nothing else with it."""

    async def test_consumers_that_leave_at_once_cost_nothing(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        for _ in range(50):
            consumer = Consumer(self.queue, lambda _: None)
            self.client.add(consumer)
            self.client.remove(consumer)
        await self.client.publish(Message(b"x"), "", self.queue)
        self.assertEqual(await self.collect(1), [b"x"])

    async def test_messages_in_hand_when_it_stops_are_in_the_queue_again(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        for _ in range(10):
            await self.client.publish(Message(b"x"), "", self.queue)
        refused = Publisher(Topology(exchanges=(Exchange("nowhere", passive=True),)))
        for _ in range(2):  # the second time they are redelivered
            client = AMQPClient([self.url], reactor, stop_timeout=0.1)
            client.add(refused)
            held: Deferred[None] = Deferred()
            client.startService()
            await client.consume(self.queue, _forward(refused, held, 10), prefetch=10)
            await held
            await client.stopService()
            client.remove(refused)
        errors = self.flushLoggedErrors(NotSentError)
        self.assertEqual(len(errors), 20)
        self.assertEqual(len(await self.collect(10, lambda d: d.delivery_tag)), 10)


def _forward(
    publisher: Publisher, held: Deferred[None], count: int
) -> Callable[[Delivery], Deferred[None]]:
    """Return a handler that publishes; `held` fires when it has been called `count` times."""
    calls: list[Delivery] = []

    def handler(delivery: Delivery) -> Deferred[None]:
        calls.append(delivery)
        if len(calls) == count:
            held.callback(None)
        return publisher.publish(delivery.message, "nowhere")

    return handler


class Rejecting(ReadyClientTestCase):
    """What consumers give back."""

    async def test_rejected_message_goes_round_once(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        redelivered: list[bool] = []
        twice: Deferred[None] = Deferred()

        def handler(delivery: Delivery) -> None:
            redelivered.append(delivery.redelivered)
            if len(redelivered) == 2:
                twice.callback(None)
                raise Reject(requeue=False)
            raise Reject(requeue=True)

        await self.client.consume(self.queue, handler)
        await self.client.publish(Message(b"x"), "", self.queue)
        await twice
        self.assertEqual(redelivered, [False, True])
