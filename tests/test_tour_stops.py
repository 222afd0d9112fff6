"""The stops of the tour that need a broker alone, on one in memory: they hold, and can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from netdemo.amqp import Exchange, RPCClient
from netdemo.broker.consumers import Consumer, Rotation
from netdemo.broker.message import Message
from netdemo.broker.queues import Queue, Taken
from netdemo.tour import STOPS, Mark, Site, Visit, direct, topic, visit
from netdemo.tour.visit import LIMIT
from tests.folders import temporary_folder
from tests.test_memory_broker import MemoryBrokerTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Delivery

ON_SOCKETS = ("echo", "poetry", "bridge")
BY_NAME = {stop.name: stop for stop in STOPS}


class StopTestCase(MemoryBrokerTestCase):
    """A test that visits stops; what they tell is in `told`."""

    restartable = True

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        self.site = Site(
            self.broker.clock,
            self.broker.url(),
            temporary_folder(self),
            self.told.append,
            self.restart if self.restartable else None,
            self.broker.network.endpoint,
        )

    async def restart(self) -> None:
        """Restart the broker."""
        self.broker.restart()

    def visit(self, name: str) -> Visit:
        """Visit a stop to its end, which comes within its limit and what clients have to stop."""
        visiting = Deferred.fromCoroutine(visit(BY_NAME[name], self.site))
        self.broker.advance(2 * LIMIT)
        return self.successResultOf(visiting)

    def failure(self, name: str) -> str:
        """Return why a stop has failed, as it must."""
        visited = self.visit(name)
        self.assertEqual(visited.mark, Mark.FAILED, visited)
        return visited.seen


class HoldingTests(StopTestCase):
    """A broker that does what it should."""

    def test_each_holds_and_leaves_nothing(self) -> None:
        for name in BY_NAME.keys() - set(ON_SOCKETS):
            visited = self.visit(name)
            self.assertEqual(visited.mark, Mark.HELD, visited)
            vhost = self.broker.broker.vhost("/")
            self.assertEqual(list(vhost.queues), [])
            own = [each for each in vhost.exchanges if each and not each.startswith("amq.")]
            self.assertEqual(own, [])

    def test_fair_dispatch_is_shown_in_numbers(self) -> None:
        self.visit("fair dispatch")
        self.assertEqual(
            self.told,
            [
                "prefetch 1: slow 1, quick 9, in 0.15 s",
                "prefetch 10: slow 5, quick 5, in 0.75 s",
            ],
        )


class FailingTests(StopTestCase):
    """A broker or a client that does not do what a stop shows."""

    def lose(self, number: int) -> None:
        """Have the broker confirm and lose this message of each queue, counted from 1."""
        push = Queue.push

        def lose_one(queue: Queue, message: Message) -> Taken:
            pushed[queue.name] = pushed.get(queue.name, 0) + 1
            return Taken.IN_MEMORY if pushed[queue.name] == number else push(queue, message)

        pushed: dict[str, int] = {}
        self.patch(Queue, "push", lose_one)

    def test_message_that_is_lost_is_waited_for_no_longer_than_the_limit(self) -> None:
        self.lose(1)
        for name in ("hello queue", "work queue", "fair dispatch", "RPC"):
            self.assertEqual(self.failure(name), "not done within 10 s")

    def test_message_that_is_lost_beside_another_leaves_no_error_behind(self) -> None:
        self.lose(2)
        for name in ("work queue", "RPC"):
            self.assertEqual(self.failure(name), "not done within 10 s")

    def test_message_that_is_refused_is_told(self) -> None:
        push = Queue.push

        def refuse(queue: Queue, message: Message) -> Taken:
            return Taken.REFUSED if message.body == b"task 3" else push(queue, message)

        self.patch(Queue, "push", refuse)
        self.assertIn("NACK", self.failure("work queue").upper())

    def test_message_that_is_lost_is_missed(self) -> None:
        self.lose(1)
        for name in ("fanout", "direct", "topic"):
            self.assertRegex(self.failure(name), r": expected \['.*'\], saw \[.*\]")
        self.assertIn("expected ['This one stays.'], saw []", self.failure("durable queue"))

    def test_message_that_comes_twice_is_seen(self) -> None:
        push = Queue.push
        self.patch(Queue, "push", lambda *of: push(*of) and push(*of))
        self.assertIn("saw ['Hello, all!', 'Hello, all!']", self.failure("fanout"))
        self.assertIn("saw ['task 1', 'task 1', ", self.failure("work queue"))

    def test_worker_that_gets_all_tasks_is_seen(self) -> None:
        self.patch(Rotation, "next", lambda rotation: rotation.first)
        self.assertEqual(
            self.failure("work queue"),
            "the workers who did them: expected ['Ann', 'Bob'], saw ['Ann']",
        )

    def test_prefetch_that_is_ignored_is_seen(self) -> None:
        self.patch(Consumer, "has_room", lambda _: True)
        self.assertEqual(
            self.failure("fair dispatch"),
            "the slow worker did 5 of 10 tasks with prefetch 1: expected no more than half of the "
            "5 that are a round robin's share",
        )

    def test_prefetch_that_is_always_1_is_seen(self) -> None:
        self.patch(Consumer, "has_room", lambda consumer: not consumer.unacked)
        self.assertIn("with a large prefetch: expected 5, saw 1", self.failure("fair dispatch"))

    def test_message_that_does_not_survive_is_missed(self) -> None:
        self.patch(Message, "persistent", property(lambda _: False, lambda *_: None))
        self.assertIn("expected ['This one stays.'], saw []", self.failure("durable queue"))

    def test_message_that_survives_though_it_should_not_is_seen(self) -> None:
        self.patch(Message, "persistent", property(lambda _: True, lambda *_: None))
        self.assertIn("saw ['This one stays.', 'This one goes.']", self.failure("durable queue"))

    def test_exchange_of_another_kind_is_seen(self) -> None:
        for module in (direct, topic):
            self.patch(module, "Exchange", lambda name, _, **options: Exchange(name, **options))
        self.assertEqual(self.failure("topic"), "NO_ROUTE (312)")
        for module in (direct, topic):
            self.patch(
                module, "Exchange", lambda name, _, **options: Exchange(name, "fanout", **options)
            )
        self.assertIn("who chose error: expected ['error'], saw ['info', ", self.failure("direct"))
        self.assertIn("who chose kern.*: expected ['kern.critical'], saw ", self.failure("topic"))

    def test_reply_that_goes_to_the_first_who_asked_is_seen(self) -> None:
        replied = RPCClient._replied

        def reply_to_the_first(caller: Any, delivery: Delivery) -> None:
            first = next(iter(caller._calls.values()))
            object.__setattr__(delivery.message, "correlation_id", first.correlation_id)
            replied(caller, delivery)

        self.patch(RPCClient, "_replied", reply_to_the_first)
        self.assertEqual(self.failure("RPC"), "not done within 10 s")

    def test_broker_that_is_down_is_told_in_its_own_words(self) -> None:
        self.broker.refuse_connections()
        for name in BY_NAME.keys() - {"echo", "poetry"}:
            self.assertEqual(
                self.failure(name),
                "amqp://memory:5672/: Connection was refused by other side",
            )

    def test_broker_that_says_nothing_is_given_up_before_the_limit(self) -> None:
        self.broker.stall()
        expected = "amqp://memory:5672/: AMQP was not open within 2 s"
        self.assertEqual(self.failure("hello queue"), expected)

    def test_login_that_is_refused_is_told(self) -> None:
        self.broker.refuse_logins()
        self.assertIn("ACCESS_REFUSED", self.failure("hello queue"))


class OthersBrokerTests(StopTestCase):
    """A broker that is not ours to restart."""

    restartable = False

    def test_durability_is_not_said_to_be_shown(self) -> None:
        visited = self.visit("durable queue")
        self.assertEqual(visited.mark, Mark.NOT_SHOWN)
        self.assertEqual(
            visited.seen,
            "the broker is not ours to restart; queue and messages outlive their connection",
        )

    def test_message_that_goes_with_its_connection_is_missed(self) -> None:
        push = Queue.push
        kept = Taken.IN_MEMORY
        self.patch(Queue, "push", lambda q, m: push(q, m) if m.body != b"This one stays." else kept)
        self.assertIn("messages on another connection: expected ['T", self.failure("durable queue"))
