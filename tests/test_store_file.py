"""A store in a folder: what it holds when it is opened again, and how it is written."""

from __future__ import annotations

import resource
import shutil
import stat
from typing import TYPE_CHECKING

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker import batch as batch_module
from netdemo.broker import database as database_module
from netdemo.broker.commits import RETRY
from netdemo.broker.database import FILE
from netdemo.broker.schema import StoredBinding, StoredExchange, StoredQueue
from tests.folders import temporary_folder
from tests.stores import bodies, folder_store, message

if TYPE_CHECKING:
    from netdemo.broker.store import Store

NAME = "caf\u00e9\udcff"


class ReopeningTestCase(SynchronousTestCase):
    """A test with a store in a folder, which is closed when it ends."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self) / "store"
        self.store = self.open()

    def open(self) -> Store:
        """Open the store."""
        store = folder_store(self.folder)
        self.addCleanup(store.close)
        return store

    def reopen(self) -> Store:
        """Close the store and open it again."""
        self.successResultOf(self.store.close())
        self.store = self.open()
        return self.store

    def crash(self) -> Store:
        """Open the store again as a process has left it that was killed."""
        left = self.folder.with_name("left")
        shutil.copytree(self.folder, left)
        self.successResultOf(self.store.close())
        shutil.rmtree(self.folder)
        left.rename(self.folder)
        self.assertTrue((self.folder / f"{FILE}-wal").stat().st_size)
        self.store = self.open()
        return self.store


class ReopenedTests(ReopeningTestCase):
    """What was committed is there again."""

    def test_definitions_are_as_they_were_added(self) -> None:
        self.store.add_exchange("/", NAME, "topic", True, False, b"\0\0\0\0")
        self.store.add_exchange("/", "other", "fanout", False, True, b"")
        self.store.add_queue(7, "/", NAME, True, b"arguments")
        self.store.add_binding("/", NAME, "queue", NAME, "k\udcff", b"table")
        self.store.add_binding("/", NAME, "exchange", "other", "", b"")
        self.store.commit()
        stored = self.reopen().load()
        self.assertEqual(
            (
                StoredExchange("/", NAME, "topic", True, False, b"\0\0\0\0"),
                StoredExchange("/", "other", "fanout", False, True, b""),
            ),
            stored.exchanges,
        )
        self.assertEqual((StoredQueue(7, "/", NAME, True, b"arguments"),), stored.queues)
        self.assertEqual(
            (
                StoredBinding("/", NAME, "queue", NAME, "k\udcff", b"table"),
                StoredBinding("/", NAME, "exchange", "other", "", b""),
            ),
            stored.bindings,
        )

    def test_removed_definitions_are_gone(self) -> None:
        for name in ("a", "b"):
            self.store.add_exchange("/", name, "topic", False, False, b"")
            self.store.add_queue(self.store.new_queue_id(), "/", name, False, b"")
            self.store.add_binding("/", name, "queue", name, "k", b"")
        self.store.commit()
        self.store.remove_exchange("/", "a")
        self.store.remove_queue(1)
        self.store.remove_binding("/", "a", "queue", "a", "k", b"")
        stored = self.reopen().load()
        self.assertEqual(["b"], [exchange.name for exchange in stored.exchanges])
        self.assertEqual(["b"], [queue.name for queue in stored.queues])
        self.assertEqual(["b"], [binding.source for binding in stored.bindings])

    def test_binding_that_differs_in_arguments_stays(self) -> None:
        for table in (b"1", b"2"):
            self.store.add_binding("/", "e", "queue", "q", "k", table)
        self.store.remove_binding("/", "e", "queue", "q", "k", b"1")
        self.assertEqual([b"2"], [each.arguments for each in self.reopen().load().bindings])

    def test_exchange_removed_and_added_in_one_turn_is_there(self) -> None:
        for kind in ("topic", "fanout"):
            self.store.remove_exchange("/", "e")
            self.store.add_exchange("/", "e", kind, False, False, b"")
        self.assertEqual(["fanout"], [each.kind for each in self.reopen().load().exchanges])

    def test_queue_tells_what_is_in_it(self) -> None:
        for queue_id in (1, 2):
            self.store.add_queue(queue_id, "/", str(queue_id), False, b"")
        for position in (3, 5, 8):
            self.store.put(1, position, message(b"body"), None)
        self.store.delivered(1, 4)
        first, second = self.reopen().load().queues
        self.assertEqual(StoredQueue(1, "/", "1", False, b"", 4, 3, 12, 3, 8, 9), first)
        self.assertEqual(StoredQueue(2, "/", "2", False, b"", -1, 0, 0, -1, -1, 0), second)

    def test_messages_are_there_and_removed_ones_are_not(self) -> None:
        for position in range(4):
            self.store.put(1, position, message(b"%d" % position), None)
        self.store.commit()
        self.store.remove(1, 2)
        self.assertEqual({0: b"0", 1: b"1", 3: b"3"}, bodies(self.reopen(), 1))

    def test_delivered_alone_is_written_when_it_closes(self) -> None:
        self.store.add_queue(1, "/", "q", False, b"")
        self.store.commit()
        self.store.delivered(1, 6)
        [queue] = self.reopen().load().queues
        self.assertEqual((6, 7), (queue.delivered, queue.next_position))

    def test_ids_go_on_after_the_highest(self) -> None:
        self.store.add_queue(7, "/", "q", False, b"")
        self.assertEqual(8, self.reopen().new_queue_id())

    def test_killed_process_leaves_what_was_committed(self) -> None:
        self.store.add_queue(1, "/", "q", False, b"")
        self.store.put(1, 0, message(b"body"), None)
        self.store.commit()
        self.store.put(1, 1, message(b"never"), None)
        self.assertEqual({0: b"body"}, bodies(self.crash(), 1))
        self.assertEqual(1, self.store.load().queues[0].messages)

    def test_closed_it_is_one_file(self) -> None:
        self.store.put(1, 0, message(), None)
        self.successResultOf(self.store.close())
        self.assertEqual([FILE], [path.name for path in self.folder.iterdir()])


class EmptiedTests(ReopeningTestCase):
    """A queue that was emptied is empty, though its messages may still have to be deleted."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(batch_module, "SWEEP", 2)
        self.store.add_queue(1, "/", "q", False, b"")
        for position in range(9):
            self.store.put(1, position, message(b"%d" % position), None)
        self.store.commit()

    def rows(self) -> int:
        """Return how many messages are in the file, whether they count or not."""
        [(rows,)] = self.store._database.reader.execute("SELECT count(*) FROM messages")
        return int(rows)

    def test_purged_messages_do_not_count(self) -> None:
        self.store.purge(1, 1)
        self.assertEqual({0: b"0"}, bodies(self.reopen(), 1))
        self.assertEqual(9, self.rows())
        [queue] = self.store.load().queues
        self.assertEqual(StoredQueue(1, "/", "q", False, b"", -1, 1, 1, 0, 0, 9), queue)

    def test_purged_messages_are_deleted_with_the_next_commit(self) -> None:
        self.store.purge(1, 1)
        self.reopen().commit()
        self.assertEqual(1, self.rows())
        self.assertEqual((), self.reopen().load().emptied)

    def test_message_at_the_next_position_is_not_deleted_with_them(self) -> None:
        self.store.purge(1)
        [queue] = self.reopen().load().queues
        self.store.put(1, queue.next_position, message(b"new"), None)
        self.store.commit()
        self.assertEqual({9: b"new"}, bodies(self.store, 1))
        self.assertEqual(1, self.rows())

    def test_id_of_a_removed_queue_is_not_given_again(self) -> None:
        self.store.remove_queue(1)
        self.assertEqual(2, self.reopen().new_queue_id())
        self.store.commit()
        self.assertEqual(0, self.rows())


class MadeTests(SynchronousTestCase):
    """A folder and a file that are made."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self) / "a" / "store"

    def test_folder_is_for_its_owner_alone(self) -> None:
        self.successResultOf(folder_store(self.folder).close())
        self.assertEqual(0o700, stat.S_IMODE(self.folder.stat().st_mode))

    def test_what_was_begun_and_not_finished_is_made_anew(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / f"{FILE}.new").write_bytes(b"half")
        (self.folder / f"{FILE}.new-journal").write_bytes(b"half")
        self.successResultOf(folder_store(self.folder).close())
        self.assertEqual([FILE], [path.name for path in self.folder.iterdir()])

    def test_folder_with_characters_of_urls_is_opened(self) -> None:
        folder = self.folder / "50%3F?mode=memory#x"
        self.successResultOf(folder_store(folder).close())
        self.assertEqual([FILE], [path.name for path in folder.iterdir()])


class WrittenTests(SynchronousTestCase):
    """How the files are written."""

    def test_commit_waits_for_the_disk(self) -> None:
        store = folder_store(temporary_folder(self))
        self.addCleanup(store.close)
        [(synchronous,)] = store._database.writer.execute("PRAGMA synchronous")
        [(journal,)] = store._database.writer.execute("PRAGMA journal_mode")
        self.assertEqual((2, "wal"), (synchronous, journal))  # 2: FULL

    def test_log_begins_anew_though_messages_are_read(self) -> None:
        often = attrs.evolve(database_module.FORMAT, checkpoint=200_000)
        self.patch(database_module, "FORMAT", often)
        folder = temporary_folder(self)
        store = folder_store(folder)
        self.addCleanup(store.close)
        largest = 0
        for position in range(100):
            store.put(1, position, message(bytes(20_000)), None)
            store.commit()
            store.fetch(1, 0, position, 1 + position // 2)
            largest = max(largest, (folder / f"{FILE}-wal").stat().st_size)
        self.assertGreater(largest, 200_000)
        self.assertLess(largest, 300_000)

    def test_file_that_may_not_grow_is_tried_again(self) -> None:
        clock = Clock()
        store = folder_store(temporary_folder(self) / "store", clock)
        self.addCleanup(store.close)
        told: list[int] = []
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        largest = 32 * 1024 * 1024  # more than the log of these tests, which is limited too
        store.put(1, 0, message(bytes(largest + 1)), None)
        store.on_disk(lambda: told.append(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
        try:
            store.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertEqual(("disk I/O error", []), (store.failing, told))
        clock.advance(RETRY)
        self.assertEqual((None, [0]), (store.failing, told))
