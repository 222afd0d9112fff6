"""What is no store that can be used is refused, and left as it was, byte for byte."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.database import FILE, open_database
from netdemo.errors import StoreError
from tests.folders import temporary_folder
from tests.stores import folder_store, message


class UnusableTests(SynchronousTestCase):
    """What can't be a store is refused in one line, and left as it was."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self) / "store"
        self.file = self.folder / FILE

    def make(self, *statements: str) -> None:
        """Make a store with a message, closed, and do more to its database."""
        store = folder_store(self.folder)
        store.add_queue(1, "/", "q", False, b"")
        for position in range(1000):
            store.put(1, position, message(b"body"), None)
        self.successResultOf(store.close())
        connection = sqlite3.connect(self.file, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()

    def contents(self) -> dict[str, bytes]:
        """Return all that is in the folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def refused(self, folder: Path | None = None) -> str:
        """Return what is said of the store, without the folder."""
        folder = folder or self.folder
        text = str(self.assertRaises(StoreError, open_database, folder))
        self.assertNotIn("\n", text)
        self.assertTrue(text.startswith(f"{folder}: the store "), text)
        return text.removeprefix(f"{folder}: the store ")

    def test_of_a_newer_version(self) -> None:
        self.make("PRAGMA user_version = 2")
        before = self.contents()
        self.assertEqual("is of version 2; expected one of version 1", self.refused())
        self.assertEqual(before, self.contents())

    def test_of_a_newer_version_with_a_log(self) -> None:
        self.make()
        newer = sqlite3.connect(self.file, isolation_level=None)
        newer.execute("PRAGMA user_version = 2")
        newer.execute("CREATE TABLE more (a)")
        before = self.contents()
        self.assertTrue(before[f"{FILE}-wal"])
        left = self.folder.with_name("left")
        shutil.copytree(self.folder, left, ignore=shutil.ignore_patterns("*-shm"))
        newer.close()
        self.folder = left
        before = self.contents()
        self.assertEqual("is of version 2; expected one of version 1", self.refused())
        self.assertEqual(before, self.contents())

    def test_of_another_program(self) -> None:
        self.folder.mkdir()
        with contextlib.closing(sqlite3.connect(self.file)) as other:
            other.execute("CREATE TABLE messages (id)")
        before = self.contents()
        self.assertEqual(
            "is none: store.sqlite is another program's; expected one of version 1", self.refused()
        )
        self.assertEqual(before, self.contents())

    def test_no_database(self) -> None:
        self.folder.mkdir()
        self.file.write_bytes(b"text\n" * 1000)
        before = self.contents()
        self.assertEqual("is damaged: file is not a database; expected a sound one", self.refused())
        self.assertEqual(before, self.contents())

    def test_empty_file(self) -> None:
        self.folder.mkdir()
        self.file.touch()
        self.assertIn("is none", self.refused())
        self.assertEqual({FILE: b""}, self.contents())

    def test_with_other_tables(self) -> None:
        self.make("DROP TABLE emptied")
        self.assertEqual(
            "has the tables bindings, exchanges, messages, queues; expected one of version 1",
            self.refused(),
        )

    def test_with_a_page_overwritten(self) -> None:
        self.make()
        size = self.file.stat().st_size
        with self.file.open("r+b") as file:
            file.seek(size // 2 // 4096 * 4096)
            file.write(b"\xff" * 4096)
        before = self.contents()
        self.assertIn("is damaged: ", self.refused())
        self.assertEqual(before, self.contents())

    def test_with_a_page_of_a_large_body_overwritten(self) -> None:
        store = folder_store(self.folder)
        store.put(1, 0, message(bytes(400_000)), None)
        self.successResultOf(store.close())
        with self.file.open("r+b") as file:
            file.seek(50 * 4096)
            file.write(b"\xff" * 4)  # which page is the next
        self.assertIn("is damaged: ", self.refused())

    def test_cut_short(self) -> None:
        self.make()
        with self.file.open("r+b") as file:
            file.truncate(self.file.stat().st_size // 2 // 4096 * 4096)
        self.assertIn("is damaged: ", self.refused())

    def test_with_a_log_alone(self) -> None:
        self.folder.mkdir()
        (self.folder / f"{FILE}-wal").write_bytes(b"log")
        self.assertEqual(
            "has lost its store.sqlite; expected it beside store.sqlite-wal", self.refused()
        )
        self.assertEqual({f"{FILE}-wal": b"log"}, self.contents())

    def test_open_in_this_process(self) -> None:
        store = folder_store(self.folder)
        descriptors = len(os.listdir("/proc/self/fd"))
        self.assertEqual(
            "is in use already; expected a folder that can be written, and is used by nobody else",
            self.refused(),
        )
        self.assertEqual(descriptors, len(os.listdir("/proc/self/fd")))
        store.put(1, 0, message(), None)
        store.commit()
        self.assertEqual(0, store.waiting_bytes)
        self.successResultOf(store.close())
        self.successResultOf(folder_store(self.folder).close())

    def test_open_in_another_program(self) -> None:
        self.make()
        script = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
            " c.execute('SELECT * FROM messages').fetchone(); print(flush=True); input()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", script, self.file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with other:
            assert other.stdout is not None
            other.stdout.readline()
            self.assertIn("can't be opened: database is locked", self.refused())

    def test_path_of_a_file(self) -> None:
        self.folder.touch()
        self.assertEqual(
            "can't have that folder: File exists;"
            " expected a folder that can be written, and is used by nobody else",
            self.refused(),
        )

    def test_folder_that_can_not_be_made(self) -> None:
        self.assertIn("can't have that folder", self.refused(Path("/proc/netdemo")))

    def test_folder_that_can_not_be_written(self) -> None:
        self.assertIn("can't be opened: unable to open", self.refused(Path("/proc/self")))
