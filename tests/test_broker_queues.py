"""`netdemo.broker.queues`: time, limits, and what of a long queue is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.arguments import QueueArguments
from netdemo.broker.consumers import Consumer
from netdemo.broker.memory import Memory
from netdemo.broker.message import Message
from netdemo.broker.queues import Queue, Taken
from netdemo.broker.turns import Turns
from netdemo.errors import AccessRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.broker.backlog import Entry
    from netdemo.broker.store import Store

NUMBER = 1
"""What the queue is called on disk."""


class Place:
    """Where a queue is, which keeps what has `died` and what was `deleted`."""

    def __init__(self, clock: Clock, store: Store | None) -> None:
        self.name = "/"
        self.memory = Memory()
        self.store = store
        self.turns = Turns(clock, store)
        self.died: list[tuple[bytes, str]] = []
        self.deleted: list[Queue] = []

    def dead_letter(
        self, queue: Queue, message: Message, reason: str, buried: Callable[[], None]
    ) -> None:
        """Keep what died, and why."""
        assert not queue.deleted
        self.died.append((message.body, reason))
        buried()

    def delete_queue(self, queue: Queue) -> None:
        """Keep what is deleted."""
        self.deleted.append(queue)
        queue.end()


class Inbox:
    """A channel that keeps what its consumer gets, and has room while `room` is above zero."""

    def __init__(self, queue: Queue, room: int = 1_000_000, **options: Any) -> None:
        self.entries: list[Entry] = []
        self.room = room
        self.is_cancelled = False
        self.consumer = Consumer("tag", queue, self, **options)

    @property
    def bodies(self) -> list[bytes]:
        """What it got."""
        return [each.message.body for each in self.entries]

    def has_room(self, consumer: Consumer) -> bool:  # noqa: ARG002
        """Whether there is room."""
        return self.room > 0

    def deliver(self, consumer: Consumer, entry: Entry) -> None:  # noqa: ARG002
        """Keep a delivery."""
        self.room -= 1
        self.entries.append(entry)

    def cancelled(self, consumer: Consumer) -> None:  # noqa: ARG002
        """Note it."""
        self.is_cancelled = True


class QueueTestCase(SynchronousTestCase):
    """A queue on a clock."""

    store: Store | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.place = Place(self.clock, self.store)

    def queue(self, **limits: Any) -> Queue:
        """Return a queue."""
        return Queue("q", self.place, QueueArguments(**limits), {})

    def push(self, queue: Queue, *pushed: bytes, **values: Any) -> list[Taken]:
        """Publish messages in one turn."""
        taken: list[Taken] = []

        def arrive() -> None:
            for body in pushed:
                taken.append(queue.push(Message("", "q", b"", body, **values)))

        self.place.turns.run(arrive)
        return taken

    def add(self, queue: Queue, **options: Any) -> Inbox:
        """Return a new consumer."""
        inbox = Inbox(queue, **options)
        self.place.turns.run(queue.add_consumer, inbox.consumer)
        return inbox

    def drain(self, queue: Queue) -> list[bytes]:
        """Take everything."""
        found = []
        while (entry := queue.get()) is not None:
            found.append(entry.message.body)
            queue.done(entry)
        return found


class ExpiryTests(QueueTestCase):
    """Messages that expire."""

    def test_message_expires_after_the_queues_time(self) -> None:
        queue = self.queue(message_ttl=2000)
        self.push(queue, b"1")
        self.clock.advance(1.5)
        self.assertEqual([], self.place.died)
        self.clock.advance(0.5)
        self.assertEqual([(b"1", "expired")], self.place.died)
        self.assertEqual(0, self.place.memory.used)

    def test_shorter_time_counts(self) -> None:
        queue = self.queue(message_ttl=2000)
        self.push(queue, b"1", expiration=1000)
        self.clock.advance(1)
        self.assertEqual([(b"1", "expired")], self.place.died)

    def test_shorter_time_expires_when_it_comes_to_the_head(self) -> None:
        queue = self.queue()
        self.push(queue, b"1", expiration=5000)
        self.push(queue, b"2", expiration=1000)
        self.clock.advance(2)
        self.assertEqual([], self.place.died)
        self.clock.advance(3)
        self.assertEqual([(b"1", "expired"), (b"2", "expired")], self.place.died)

    def test_expired_one_behind_the_head_is_never_delivered(self) -> None:
        queue = self.queue()
        self.push(queue, b"1")
        self.push(queue, b"2", expiration=1000)
        self.push(queue, b"3")
        self.clock.advance(2)
        inbox = self.add(queue)
        self.assertEqual([b"1", b"3"], inbox.bodies)
        self.assertEqual([(b"2", "expired")], self.place.died)

    def test_message_behind_the_head_has_its_timer_when_the_head_is_taken(self) -> None:
        queue = self.queue()
        self.push(queue, b"1")
        self.push(queue, b"2", expiration=3000)
        self.add(queue, room=1)
        self.clock.advance(3)
        self.assertEqual([(b"2", "expired")], self.place.died)

    def test_message_that_is_given_back_expires_at_its_time(self) -> None:
        queue = self.queue(message_ttl=2000)
        self.push(queue, b"1")
        entry = queue.get()
        assert entry is not None
        self.clock.advance(5)
        self.assertEqual([], self.place.died)
        self.place.turns.run(queue.requeue, entry)
        self.clock.advance(0)
        self.assertEqual([(b"1", "expired")], self.place.died)

    def test_message_of_no_time_goes_to_who_waits_or_to_nobody(self) -> None:
        queue = self.queue()
        inbox = self.add(queue, room=1)
        self.push(queue, b"1", b"2", expiration=0)
        self.clock.advance(0)
        self.assertEqual([b"1"], inbox.bodies)
        self.assertEqual([(b"2", "expired")], self.place.died)

    def test_ended_queue_leaves_no_timer(self) -> None:
        queue = self.queue(message_ttl=1000, expires=1000)
        self.push(queue, b"1")
        queue.end()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(0, self.place.memory.used)


class IdleTests(QueueTestCase):
    """Queues that expire."""

    def test_queue_that_nobody_uses_is_deleted(self) -> None:
        queue = self.queue(expires=3000)
        self.clock.advance(2.9)
        self.assertEqual([], self.place.deleted)
        self.clock.advance(0.1)
        self.assertEqual([queue], self.place.deleted)

    def test_get_counts_as_use_and_a_publish_does_not(self) -> None:
        queue = self.queue(expires=3000)
        self.clock.advance(2)
        queue.get()
        self.clock.advance(2)
        self.assertEqual([], self.place.deleted)
        self.push(queue, b"1")
        self.clock.advance(1)
        self.assertEqual([queue], self.place.deleted)

    def test_queue_with_a_consumer_stays(self) -> None:
        queue = self.queue(expires=3000)
        inbox = self.add(queue)
        self.clock.advance(100)
        self.assertEqual([], self.place.deleted)
        queue.remove_consumer(inbox.consumer)
        self.clock.advance(3)
        self.assertEqual([queue], self.place.deleted)


class LimitTests(QueueTestCase):
    """Queues that are full."""

    def test_head_is_dropped_for_what_is_too_many(self) -> None:
        queue = self.queue(max_length=2)
        self.push(queue, b"1", b"2", b"3")
        self.assertEqual([(b"1", "maxlen")], self.place.died)
        self.assertEqual([b"2", b"3"], self.drain(queue))

    def test_as_many_are_dropped_as_bytes_are_too_many(self) -> None:
        queue = self.queue(max_length_bytes=10)
        self.push(queue, b"aaaa", b"bbbb", b"c" * 9)
        self.assertEqual([(b"aaaa", "maxlen"), (b"bbbb", "maxlen")], self.place.died)
        self.assertEqual([b"c" * 9], self.drain(queue))

    def test_message_larger_than_the_limit_is_dropped_with_all_others(self) -> None:
        queue = self.queue(max_length_bytes=10)
        self.push(queue, b"a", b"b" * 11)
        self.assertEqual(2, len(self.place.died))
        self.assertEqual(0, self.place.memory.used)

    def test_unacknowledged_ones_do_not_count(self) -> None:
        queue = self.queue(max_length=1)
        self.push(queue, b"1")
        queue.get()
        self.push(queue, b"2")
        self.assertEqual([], self.place.died)

    def test_what_is_given_back_to_a_full_queue_drops_the_head(self) -> None:
        queue = self.queue(max_length=1)
        self.push(queue, b"1")
        entry = queue.get()
        assert entry is not None
        self.push(queue, b"2")
        self.place.turns.run(queue.requeue, entry)
        self.assertEqual([(b"1", "maxlen")], self.place.died)
        self.assertEqual([b"2"], self.drain(queue))

    def test_publish_to_a_full_queue_is_refused(self) -> None:
        queue = self.queue(max_length=1, overflow="reject-publish")
        self.assertEqual([Taken.IN_MEMORY, Taken.REFUSED], self.push(queue, b"1", b"2"))
        self.assertEqual(([], [b"1"]), (self.place.died, self.drain(queue)))

    def test_publish_of_too_many_bytes_is_refused(self) -> None:
        queue = self.queue(max_length_bytes=10, overflow="reject-publish")
        taken = self.push(queue, b"a" * 10, b"b")
        self.assertEqual([Taken.IN_MEMORY, Taken.REFUSED], taken)

    def test_refused_publish_may_be_dead_lettered(self) -> None:
        queue = self.queue(max_length=1, overflow="reject-publish-dlx")
        self.assertIs(Taken.REFUSED, self.push(queue, b"1", b"2")[1])
        self.assertEqual([(b"2", "maxlen")], self.place.died)

    def test_delivery_limit_ends_what_is_given_back_too_often(self) -> None:
        queue = self.queue(queue_type="quorum", delivery_limit=1)
        self.push(queue, b"1")
        for _ in range(2):
            entry = queue.get()
            assert entry is not None
            self.place.turns.run(queue.requeue, entry)
        self.assertEqual([(b"1", "delivery_limit")], self.place.died)
        self.assertEqual([], self.drain(queue))


class DeliveryTests(QueueTestCase):
    """Consumers of one queue."""

    def test_what_is_given_back_comes_first_and_marked(self) -> None:
        queue = self.queue()
        first = self.add(queue, room=3)
        self.push(queue, b"1", b"2", b"3", b"4")
        queue.remove_consumer(first.consumer)
        for each in (first.entries[2], first.entries[0]):
            self.place.turns.run(queue.requeue, each)
        second = self.add(queue)
        self.assertEqual([b"1", b"3", b"4"], second.bodies)
        self.assertEqual([True, True, False], [each.redelivered for each in second.entries])

    def test_full_consumer_gets_the_next_when_it_is_woken(self) -> None:
        for single_active in (False, True):
            queue = self.queue(single_active_consumer=single_active)
            inbox = self.add(queue, room=1)
            self.push(queue, b"1", b"2")
            self.assertEqual([b"1"], inbox.bodies)
            inbox.room = 1
            self.place.turns.run(queue.wake, inbox.consumer)
            self.assertEqual([b"1", b"2"], inbox.bodies)

    def test_next_single_active_consumer_gets_what_waits_when_the_first_goes(self) -> None:
        queue = self.queue(single_active_consumer=True)
        first, second = self.add(queue, room=0), self.add(queue)
        self.push(queue, b"1")
        self.place.turns.run(queue.remove_consumer, first.consumer)
        self.assertEqual([b"1"], second.bodies)

    def test_nothing_of_a_consumer_without_acknowledgements_is_kept(self) -> None:
        queue = self.queue()
        self.push(queue, b"1")
        inbox = self.add(queue, no_ack=True)
        self.push(queue, b"2")
        self.assertEqual([b"1", b"2"], inbox.bodies)
        self.assertEqual(0, self.place.memory.used)

    def test_exclusive_consumer_is_alone(self) -> None:
        queue = self.queue()
        self.add(queue, exclusive=True)
        self.assertRaises(AccessRefused, queue.add_consumer, Inbox(queue).consumer)

    def test_last_consumer_takes_a_queue_that_goes_with_it(self) -> None:
        queue = Queue("q", self.place, QueueArguments(), {}, auto_delete=True)
        one, two = self.add(queue), self.add(queue)
        queue.remove_consumer(one.consumer)
        self.assertEqual([], self.place.deleted)
        queue.remove_consumer(two.consumer)
        self.assertEqual([queue], self.place.deleted)

    def test_consumer_of_a_queue_that_ends_is_told(self) -> None:
        queue = self.queue()
        inbox = self.add(queue)
        queue.end()
        self.assertTrue(inbox.is_cancelled)

    def test_answers_to_a_queue_that_ended_let_go_of_the_message(self) -> None:
        for answer in ("done", "reject", "requeue"):
            queue = self.queue()
            self.push(queue, b"1")
            entry = queue.get()
            queue.end()
            getattr(queue, answer)(entry)
            self.assertEqual((0, []), (self.place.memory.used, self.place.died))
