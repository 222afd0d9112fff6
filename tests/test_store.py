"""What a store holds and gives back."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker import batch as batch_module
from netdemo.broker.schema import LAST_QUEUE_ID, outside
from netdemo.broker.store import memory_store
from netdemo.sqlite_file import GROUPS
from tests.stores import bodies, message, threaded_store


class FetchTests(SynchronousTestCase):
    """Messages come back as they were put, whether they are written or not."""

    def setUp(self) -> None:
        self.store, self.thread = threaded_store()

    def write(self) -> None:
        """Commit, and have the thread work until it is idle."""
        self.store.commit()
        while not self.thread.idle:
            self.thread.work()

    def test_message_comes_back_as_it_was(self) -> None:
        put = message(
            b"\0body", exchange="e\udcff", routing_key="kä", priority=7, expiration=60_000
        )
        for where in ("in memory", "on disk"):
            if where == "in memory":
                self.store.put(1, 5, put, 1234.5)
            else:
                self.write()
            [(position, found, expires_at)] = self.store.fetch(1, 0, 10, 10)
            self.assertEqual((5, 1234.5), (position, expires_at), where)
            for name in put.__slots__:
                self.assertEqual(getattr(put, name), getattr(found, name), where)

    def test_large_position_and_queue_id_come_back(self) -> None:
        self.store.put(LAST_QUEUE_ID, 2**40 - 1, message(b"last"), None)
        self.write()
        found = self.store.fetch(LAST_QUEUE_ID, 2**40 - 1, 2**50, 10)
        self.assertEqual([2**40 - 1], [position for position, _, _ in found])

    def test_transient_message_without_expiry_comes_back(self) -> None:
        self.store.put(1, 0, message(persistent=False), None)
        self.write()
        [(_, found, expires_at)] = self.store.fetch(1, 0, 0, 1)
        self.assertEqual((False, None, None), (found.persistent, found.expiration, expires_at))

    def test_what_is_written_and_what_is_not_come_in_order(self) -> None:
        self.store.put(1, 4, message(b"4"), None)
        self.store.put(1, 2, message(b"2"), None)
        self.write()
        self.store.put(1, 3, message(b"3"), None)
        self.store.put(1, 1, message(b"1"), None)
        found = self.store.fetch(1, 0, 10, 10)
        self.assertEqual([1, 2, 3, 4], [position for position, _, _ in found])

    def test_only_the_range_comes(self) -> None:
        for position in range(3):
            self.store.put(1, position, message(), None)
        self.write()
        for position in range(3, 6):
            self.store.put(1, position, message(), None)
        self.assertEqual([1, 2, 3, 4], list(bodies(self.store, 1, 1, 4)))

    def test_only_the_queues_own_come(self) -> None:
        for queue_id in (1, 2, 3):
            self.store.put(queue_id, 0, message(b"%d" % queue_id), None)
        self.write()
        self.assertEqual({0: b"2"}, bodies(self.store, 2))

    def test_limit_takes_the_lowest_of_both(self) -> None:
        for position in (1, 3, 5):
            self.store.put(1, position, message(), None)
        self.write()
        for position in (2, 4):
            self.store.put(1, position, message(), None)
        found = self.store.fetch(1, 0, 10, 3)
        self.assertEqual([1, 2, 3], [position for position, _, _ in found])

    def test_limit_is_reached_behind_what_was_removed(self) -> None:
        for position in range(6):
            self.store.put(1, position, message(), None)
        self.write()
        for position in range(3):
            self.store.remove(1, position)
        found = self.store.fetch(1, 0, 10, 2)
        self.assertEqual([3, 4], [position for position, _, _ in found])

    def test_message_being_written_comes(self) -> None:
        self.store.put(1, 0, message(b"0"), None)
        self.store.commit()
        self.assertEqual({0: b"0"}, bodies(self.store, 1))

    def test_removed_while_being_written_does_not_come(self) -> None:
        self.store.put(1, 0, message(), None)
        self.store.commit()
        self.store.remove(1, 0)
        self.assertEqual({}, bodies(self.store, 1))
        self.thread.work()
        self.assertEqual({}, bodies(self.store, 1))

    def test_removed_twice_stays_removed(self) -> None:
        self.store.put(1, 0, message(), None)
        self.write()
        self.store.remove(1, 0)
        self.store.remove(1, 0)
        self.assertEqual({}, bodies(self.store, 1))

    def test_as_many_as_fit_no_statement_are_written_and_removed(self) -> None:
        rows = sum(GROUPS) + 2
        for position in range(rows):
            self.store.put(1, position, message(b"%d" % position), None)
        self.write()
        self.assertEqual(
            {position: b"%d" % position for position in range(rows)}, bodies(self.store, 1)
        )
        for position in range(rows - 1):
            self.store.remove(1, position)
        self.write()
        self.assertEqual([rows - 1], list(bodies(self.store, 1)))


class PurgeTests(SynchronousTestCase):
    """A purge takes all that is in a queue, or in a part of it, when it is called."""

    def setUp(self) -> None:
        self.store, self.thread = threaded_store()

    def write(self) -> None:
        """Commit, and have the thread work until it is idle."""
        self.store.commit()
        while not self.thread.idle:
            self.thread.work()

    def put(self, *positions: int) -> None:
        """Put messages."""
        for position in positions:
            self.store.put(1, position, message(b"%d" % position), None)

    def test_messages_anywhere_do_not_come_any_more(self) -> None:
        self.put(0)
        self.write()
        self.put(1)
        self.store.commit()
        self.put(2)
        self.store.purge(1)
        self.assertEqual({}, bodies(self.store, 1))
        self.write()
        self.assertEqual({}, bodies(self.store, 1))
        self.assertEqual(0, self.store.waiting_bytes)

    def test_what_is_before_and_after_its_part_stays(self) -> None:
        self.put(0, 1)
        self.write()
        self.put(2, 3)
        self.store.purge(1, 1, 2)
        self.assertEqual([0, 3], list(bodies(self.store, 1)))
        self.write()
        self.assertEqual([0, 3], list(bodies(self.store, 1)))

    def test_what_is_put_afterwards_stays(self) -> None:
        self.put(0)
        self.write()
        self.store.purge(1)
        self.put(1)
        self.write()
        self.assertEqual({1: b"1"}, bodies(self.store, 1))

    def test_other_queues_keep_theirs(self) -> None:
        self.put(0)
        self.store.put(2, 0, message(), None)
        self.write()
        self.store.purge(1)
        self.write()
        self.assertEqual([0], list(bodies(self.store, 2)))

    def test_messages_of_a_removed_queue_go(self) -> None:
        self.store.add_queue(1, "/", "q", False, b"")
        self.put(0)
        self.write()
        self.put(1)
        self.store.remove_queue(1)
        self.assertEqual({}, bodies(self.store, 1))
        self.write()
        self.assertEqual({}, bodies(self.store, 1))

    def test_empty_queue_that_was_never_written_costs_nothing(self) -> None:
        self.put(0)
        self.store.purge(1)
        self.store.commit()
        self.assertTrue(self.thread.idle)

    def test_many_go_piece_by_piece_between_batches(self) -> None:
        self.patch(batch_module, "SWEEP", 2)
        self.put(*range(5))
        self.write()
        self.store.purge(1)
        self.store.commit()
        self.thread.work()  # notes that they go
        self.thread.work()  # deletes two
        written: list[str] = []
        self.store.put(2, 0, message(), None)
        self.store.on_disk(lambda: written.append("written"))
        self.thread.work()  # deletes two
        self.thread.work()
        self.assertEqual(["written"], written)
        self.assertFalse(self.thread.idle)
        self.thread.work()  # deletes the last
        self.assertTrue(self.thread.idle)


class IdTests(SynchronousTestCase):
    """Ids are given once, until there are no more new ones."""

    def test_ids_differ(self) -> None:
        store = memory_store(Clock())
        self.assertEqual([1, 2, 3], [store.new_queue_id() for _ in range(3)])

    def test_after_the_last_id_come_those_that_are_free(self) -> None:
        store = memory_store(Clock())
        self.patch(store, "_last_queue_id", LAST_QUEUE_ID - 1)
        store.add_queue(1, "/", "old", False, b"")
        self.assertEqual([LAST_QUEUE_ID, 2], [store.new_queue_id() for _ in range(2)])

    def test_id_of_a_removed_queue_is_free_again(self) -> None:
        store = memory_store(Clock())
        self.patch(store, "_last_queue_id", LAST_QUEUE_ID)
        store.add_queue(1, "/", "old", False, b"")
        store.remove_queue(1)
        self.assertEqual(1, store.new_queue_id())


class OutsideTests(SynchronousTestCase):
    """What is left of a range without others."""

    def test_without_others_all_is_left(self) -> None:
        self.assertEqual([(3, 9)], outside(3, 9, []))

    def test_holes_split_it(self) -> None:
        self.assertEqual([(0, 1), (4, 5), (8, 9)], outside(0, 9, [(6, 7), (2, 3)]))

    def test_holes_that_overlap_are_one(self) -> None:
        self.assertEqual([(0, 1), (8, 9)], outside(0, 9, [(2, 7), (3, 4), (5, 6)]))

    def test_holes_beyond_it_cut_it(self) -> None:
        self.assertEqual([(3, 6)], outside(2, 9, [(0, 2), (7, 12), (20, 30)]))

    def test_covered_range_leaves_nothing(self) -> None:
        self.assertEqual([], outside(2, 9, [(0, 5), (6, 9)]))
