"""`netdemo.broker.queues`: long queues, of which the middle is on disk alone."""

from __future__ import annotations

from typing import Any

from netdemo.broker import backlog as backlog_module
from netdemo.broker.arguments import QueueArguments
from netdemo.broker.backlog import Backlog
from netdemo.broker.message import Message
from netdemo.broker.queues import Queue, Taken
from netdemo.broker.schema import StoredQueue
from netdemo.broker.store import memory_store
from tests.stores import bodies
from tests.test_broker_queues import NUMBER, QueueTestCase

FEW = 8
BATCH = 4
MANY = [b"%d" % number for number in range(50)]


class PagingTests(QueueTestCase):
    """A durable queue, of which eight messages are in memory; four are read at once."""

    def setUp(self) -> None:
        self.patch(backlog_module, "RESIDENT", FEW)
        self.patch(backlog_module, "PAGE", BATCH)
        super().setUp()
        self.disk = self.place.store = memory_store(self.clock)
        self.place.turns._store = self.disk
        self.disk.add_queue(NUMBER, "/", "q", False, b"\0\0\0\0")
        self.long = self.durable()

    def durable(self, **limits: Any) -> Queue:
        """Return the queue."""
        return Queue("q", self.place, QueueArguments(**limits), {}, number=NUMBER, durable=True)

    def restored(self, delivered: int = -1, **limits: Any) -> Queue:
        """Return the queue as it is after a restart."""
        held = bodies(self.disk, NUMBER)
        size = sum(map(len, held.values()))
        queue = self.durable(**limits)
        lowest, highest = min(held, default=-1), max(held, default=-1)
        queue.restore(
            StoredQueue(
                *(NUMBER, "/", "q", False, b"\0\0\0\0"),
                *(delivered, len(held), size, lowest, highest, highest + 1),
            )
        )
        return queue

    @property
    def in_memory(self) -> int:
        """How many messages are in memory."""
        nothing = Message("", "q", b"", b"")
        return self.place.memory.used // nothing.size

    def fill(self) -> None:
        """Publish many messages."""
        self.assertEqual({Taken.STORED}, set(self.push(self.long, *MANY, persistent=True)))

    def test_few_of_many_are_in_memory(self) -> None:
        self.fill()
        self.assertEqual((50, FEW), (self.long.count(), self.in_memory))

    def test_order_stays_and_few_are_in_memory_at_any_time(self) -> None:
        self.fill()
        found = []
        while (entry := self.long.get()) is not None:
            self.assertLessEqual(self.in_memory, FEW + BATCH)
            found.append(entry.message.body)
            self.long.done(entry)
        self.assertEqual(MANY, found)
        self.assertEqual(0, self.place.memory.used)

    def test_what_is_acknowledged_is_on_disk_no_more(self) -> None:
        self.fill()
        self.drain(self.long)
        self.disk.commit()
        self.assertEqual({}, bodies(self.disk, NUMBER))

    def test_transient_ones_are_in_memory_and_in_order(self) -> None:
        self.fill()
        self.assertEqual([Taken.IN_MEMORY], self.push(self.long, b"transient"))
        self.push(self.long, b"last", persistent=True)
        self.assertEqual([*MANY, b"transient", b"last"], self.drain(self.long))

    def test_consumer_gets_all_in_order(self) -> None:
        self.fill()
        self.assertEqual(MANY, self.add(self.long).bodies)

    def test_given_back_ones_come_before_those_on_disk(self) -> None:
        self.fill()
        taken = [self.long.get() for _ in range(20)]
        for each in reversed(taken):
            assert each is not None
            self.place.turns.run(self.long.requeue, each)
        self.assertEqual(MANY, self.drain(self.long))

    def test_purge_keeps_what_is_unacknowledged_on_disk(self) -> None:
        self.fill()
        taken = [self.long.get() for _ in range(10)]
        self.assertEqual(40, self.long.purge())
        self.disk.commit()
        self.assertEqual(dict(enumerate(MANY[:10])), bodies(self.disk, NUMBER))
        for each in taken:
            assert each is not None
            self.long.done(each)
        self.disk.commit()
        self.assertEqual({}, bodies(self.disk, NUMBER))
        self.assertEqual(0, self.place.memory.used)

    def test_purged_queue_takes_messages_again(self) -> None:
        self.fill()
        self.long.purge()
        self.push(self.long, b"new", persistent=True)
        self.assertEqual([b"new"], self.drain(self.long))

    def test_limit_drops_the_head_of_what_is_on_disk(self) -> None:
        self.long = self.durable(max_length=20)
        self.fill()
        self.assertEqual(30, len(self.place.died))
        self.assertEqual(MANY[30:], self.drain(self.long))

    def test_expired_ones_on_disk_die_in_order(self) -> None:
        self.long = self.durable(message_ttl=1000)
        self.fill()
        self.clock.advance(1)
        self.assertEqual([(body, "expired") for body in MANY], self.place.died)
        self.assertEqual(0, self.place.memory.used)

    def test_message_that_goes_straight_to_a_consumer_is_on_disk(self) -> None:
        inbox = self.add(self.long)
        self.fill()
        self.assertEqual(dict(enumerate(MANY)), bodies(self.disk, NUMBER))
        self.long.done(inbox.entries[0])
        self.disk.commit()
        self.assertEqual(49, len(bodies(self.disk, NUMBER)))

    def test_message_for_a_consumer_without_acknowledgements_is_not(self) -> None:
        self.add(self.long, no_ack=True)
        self.assertEqual([Taken.IN_MEMORY], self.push(self.long, b"1", persistent=True))
        self.assertEqual({}, bodies(self.disk, NUMBER))

    def test_restored_queue_marks_what_may_have_been_delivered(self) -> None:
        self.fill()
        queue = self.restored(delivered=9)
        entries = [queue.get() for _ in range(50)]
        marks = [each.redelivered for each in entries if each is not None]
        self.assertEqual([True] * 10 + [False] * 40, marks)

    def test_restored_queue_reads_when_it_is_asked(self) -> None:
        self.fill()
        before = self.in_memory
        queue = self.restored()
        assert isinstance(queue.ready, Backlog)
        self.assertLessEqual(self.in_memory - before, BATCH)
        self.assertEqual(50, queue.count())

    def test_restored_queue_goes_on_behind_what_it_had(self) -> None:
        self.fill()
        queue = self.restored()
        self.push(queue, b"new", persistent=True)
        self.assertEqual([*MANY, b"new"], self.drain(queue))

    def test_restored_messages_expire_at_their_time(self) -> None:
        self.push(self.long, b"1", persistent=True, expiration=5000)
        self.disk.commit()
        self.long.stop()
        self.clock.advance(2)
        self.restored()
        self.clock.advance(3)
        self.assertEqual([(b"1", "expired")], self.place.died)

    def test_queue_that_ends_lets_go_of_what_is_in_memory(self) -> None:
        self.fill()
        self.long.end()
        self.assertEqual(0, self.place.memory.used)
