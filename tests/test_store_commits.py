"""When what changed is written, in which batches, and what if that fails."""

from __future__ import annotations

import sqlite3
from functools import partial

from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker import store as store_module
from netdemo.broker.commits import RETRY
from netdemo.broker.database import memory_database
from netdemo.broker.message import OVERHEAD
from netdemo.broker.store import Store, memory_store
from tests.stores import bodies, message, threaded_store

SIZE = OVERHEAD + len(b"header")
"""Bytes that an empty message counts."""


class CommitTests(SynchronousTestCase):
    """Batches follow one another, and who waits for one is told when it is on disk."""

    def setUp(self) -> None:
        self.store, self.thread = threaded_store()
        self.told: list[str] = []

    def put(self, position: int, name: str = "") -> None:
        """Put a message; `name` is told when it is on disk."""
        self.store.put(1, position, message(), None)
        if name:
            self.store.on_disk(partial(self.told.append, name))

    def test_without_commit_nothing_is_written(self) -> None:
        self.put(0)
        self.assertTrue(self.thread.idle)

    def test_commit_without_change_writes_nothing(self) -> None:
        self.store.commit()
        self.assertTrue(self.thread.idle)

    def test_told_when_it_is_on_disk(self) -> None:
        self.put(0, "first")
        self.store.commit()
        self.assertEqual([], self.told)
        self.thread.work()
        self.assertEqual(["first"], self.told)

    def test_told_at_once_when_nothing_waits(self) -> None:
        self.store.on_disk(partial(self.told.append, "nothing"))
        self.assertEqual(["nothing"], self.told)

    def test_what_comes_meanwhile_is_the_next_batch(self) -> None:
        self.put(0, "first")
        self.store.commit()
        self.put(1, "second")
        self.store.commit()
        self.put(2, "third")
        self.thread.work()
        self.assertEqual(["first"], self.told)
        self.thread.work()
        self.assertEqual(["first", "second", "third"], self.told)
        self.assertTrue(self.thread.idle)

    def test_told_after_what_was_put_before_though_nothing_came_since(self) -> None:
        self.put(0)
        self.store.commit()
        self.store.on_disk(partial(self.told.append, "first"))
        self.assertEqual([], self.told)
        self.thread.work()
        self.assertEqual(["first"], self.told)

    def test_removed_before_commit_is_never_written(self) -> None:
        self.put(0, "gone")
        self.store.remove(1, 0)
        self.assertEqual(0, self.store.waiting_bytes)
        self.store.commit()
        self.assertTrue(self.thread.idle)
        self.assertEqual(["gone"], self.told)

    def test_told_in_order_though_the_first_was_removed(self) -> None:
        self.put(0, "gone")
        self.store.remove(1, 0)
        self.store.on_disk(partial(self.told.append, "nothing"))
        self.assertEqual([], self.told)
        self.store.commit()
        self.assertEqual(["gone", "nothing"], self.told)

    def test_removed_before_commit_is_told_in_order(self) -> None:
        self.put(0, "first")
        self.store.commit()
        self.put(1, "gone")
        self.store.remove(1, 1)
        self.store.commit()
        self.assertEqual([], self.told)
        self.thread.work()
        self.assertEqual(["first", "gone"], self.told)

    def test_waiting_bytes_are_those_not_on_disk(self) -> None:
        self.put(0)
        self.store.commit()
        self.put(1)
        self.assertEqual(2 * SIZE, self.store.waiting_bytes)
        self.thread.work()
        self.assertEqual(SIZE, self.store.waiting_bytes)
        self.thread.work()
        self.assertEqual(0, self.store.waiting_bytes)

    def test_rows_beyond_the_limit_are_another_transaction(self) -> None:
        self.patch(store_module, "MAX_ROWS", 2)
        for position in range(3):
            self.put(position, str(position))
        self.store.commit()
        self.thread.work()
        self.assertEqual(["0", "1"], self.told)
        self.thread.work()
        self.assertEqual(["0", "1", "2"], self.told)

    def test_removals_beyond_the_limit_are_another_transaction(self) -> None:
        self.patch(store_module, "MAX_ROWS", 2)
        for position in range(3):
            self.store.remove(1, position)
        self.store.commit()
        self.thread.work()
        self.assertFalse(self.thread.idle)
        self.thread.work()
        self.assertTrue(self.thread.idle)

    def test_bytes_beyond_the_limit_are_another_transaction(self) -> None:
        self.patch(store_module, "MAX_BYTES", 2 * SIZE)
        for position in range(3):
            self.put(position, str(position))
        self.store.commit()
        self.thread.work()
        self.assertEqual(["0", "1"], self.told)

    def test_half_of_a_move_is_not_taken_from_the_transaction_before(self) -> None:
        # Else a crash between the two would lose a message that was confirmed.
        self.patch(store_module, "MAX_ROWS", 1)
        self.put(0)
        self.store.put(2, 0, message(), None)
        self.store.remove(1, 0)
        self.store.commit()
        self.thread.work()
        [(stored,)] = self.store._database.writer.execute("SELECT count(*) FROM messages")
        self.assertEqual(1, stored)

    def test_delivered_alone_is_not_written(self) -> None:
        self.store.delivered(1, 5)
        self.store.commit()
        self.assertTrue(self.thread.idle)

    def test_delivered_is_written_with_the_next_batch(self) -> None:
        self.store.add_queue(1, "/", "q", False, b"")
        self.store.delivered(1, 5)
        self.store.delivered(1, 3)
        self.store.commit()
        self.thread.work()
        self.put(9)
        self.store.delivered(1, 4)
        self.store.commit()
        self.thread.work()
        [(delivered,)] = self.store._database.writer.execute("SELECT delivered FROM queues")
        self.assertEqual(5, delivered)

    def test_call_that_fails_is_logged_and_keeps_nobody(self) -> None:
        self.put(0)
        self.store.on_disk(lambda: 1 // 0)  # type: ignore[arg-type]
        self.store.on_disk(partial(self.told.append, "next"))
        self.store.commit()
        self.thread.work()
        self.assertEqual(["next"], self.told)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_commit_in_a_call_writes_what_that_put(self) -> None:
        store = memory_store(Clock())

        def again() -> None:
            store.put(1, 1, message(), None)
            store.on_disk(partial(self.told.append, "second"))
            store.commit()

        store.put(1, 0, message(), None)
        store.on_disk(again)
        store.commit()
        self.assertEqual((["second"], 0), (self.told, store.waiting_bytes))

    def test_in_memory_everything_is_written_when_commit_returns(self) -> None:
        self.patch(store_module, "MAX_ROWS", 1)
        store = memory_store(Clock())
        for position in range(3000):  # far more batches than Python's stack has frames
            store.put(1, position, message(), None)
        store.commit()
        self.assertEqual(0, store.waiting_bytes)


class FailureTests(SynchronousTestCase):
    """A transaction that fails is kept and tried again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.database = memory_database()
        self.store = Store(self.database, execute, self.clock)
        self.told: list[str] = []

    def fill_up(self) -> None:
        """Leave no room in the database."""
        [(pages,)] = self.database.writer.execute("PRAGMA page_count")
        self.database.writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    def make_room(self) -> None:
        """Let the database grow."""
        self.database.writer.execute("PRAGMA max_page_count = 1000000").fetchall()

    def put_much(self, position: int = 0) -> None:
        """Put a message that needs a new page, and commit."""
        self.store.put(1, position, message(bytes(10_000)), None)
        self.store.on_disk(partial(self.told.append, str(position)))
        self.store.commit()

    def test_full_disk_is_told_and_nothing_confirmed(self) -> None:
        self.fill_up()
        self.put_much()
        self.assertEqual("database or disk is full", self.store.failing)
        self.assertEqual([], self.told)
        self.assertEqual(SIZE + 10_000, self.store.waiting_bytes)
        self.assertEqual([0], list(bodies(self.store, 1)))

    def test_tried_again_until_it_works(self) -> None:
        self.fill_up()
        self.put_much()
        self.clock.advance(RETRY)
        self.put_much(1)
        self.assertEqual([], self.told)
        self.make_room()
        self.clock.advance(RETRY)
        self.assertEqual(["0", "1"], self.told)
        self.assertEqual((None, 0), (self.store.failing, self.store.waiting_bytes))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_failure_is_logged_once_and_so_is_its_end(self) -> None:
        with capturedLogs() as logged:
            self.fill_up()
            self.put_much()
            self.clock.advance(RETRY)
            self.make_room()
            self.clock.advance(RETRY)
        texts = [formatEvent(event) for event in logged]
        self.assertEqual(
            [
                ":memory:: can't be written: database or disk is full; tried again every 1.0 s",
                ":memory:: can be written again",
            ],
            texts,
        )

    def test_commit_does_not_try_before_the_time(self) -> None:
        self.fill_up()
        self.put_much()
        self.make_room()
        self.put_much(1)
        self.assertEqual([], self.told)

    def test_nothing_of_a_failed_transaction_stays(self) -> None:
        self.fill_up()
        self.store.add_exchange("/", "e", "fanout", False, False, b"")
        self.put_much()
        [(exchanges,)] = self.database.writer.execute("SELECT count(*) FROM exchanges")
        self.assertEqual(0, exchanges)

    def test_error_that_leaves_the_transaction_open_is_rolled_back(self) -> None:
        self.store.add_exchange("/", "e", "fanout", False, False, None)  # type: ignore[arg-type]
        self.store.commit()
        self.clock.advance(RETRY)
        self.assertEqual("NOT NULL constraint failed: exchanges.arguments", self.store.failing)
        self.successResultOf(self.store.close())

    def test_close_tries_at_once_once_more(self) -> None:
        self.fill_up()
        self.put_much()
        self.make_room()
        self.assertIsNone(self.successResultOf(self.store.close()))
        self.assertEqual(["0"], self.told)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_close_gives_up_what_can_not_be_written(self) -> None:
        self.fill_up()
        self.put_much()
        self.assertIsNone(self.successResultOf(self.store.close()))
        self.assertEqual([], self.told)
        self.assertEqual([], self.clock.getDelayedCalls())


class CloseTests(SynchronousTestCase):
    """Closing writes what is left, and leaves nothing."""

    def test_writes_what_is_left_without_commit(self) -> None:
        store, thread = threaded_store()
        store.put(1, 0, message(), None)
        told: list[str] = []
        store.on_disk(partial(told.append, "left"))
        closing = store.close()
        thread.work()
        self.assertEqual(["left"], told)
        self.assertNoResult(closing)
        thread.work()
        self.successResultOf(closing)
        self.assertRaises(sqlite3.ProgrammingError, store.fetch, 1, 0, 1, 1)

    def test_waits_for_what_is_being_written(self) -> None:
        store, thread = threaded_store()
        store.put(1, 0, message(), None)
        store.commit()
        closing = store.close()
        again = store.close()
        thread.work()
        self.assertNoResult(closing)
        thread.work()
        self.successResultOf(closing)
        self.successResultOf(again)
        self.successResultOf(store.close())

    def test_cancelled_it_closes_all_the_same(self) -> None:
        store, thread = threaded_store()
        store.close().addErrback(lambda _: None).cancel()
        thread.work()
        self.successResultOf(store.close())

    def test_commit_afterwards_does_nothing(self) -> None:
        store = memory_store(Clock())
        self.successResultOf(store.close())
        store.put(1, 0, message(), None)
        store.commit()
        self.assertIsNone(store.failing)
