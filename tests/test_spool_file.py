"""What is refused as a spool, and how one is looked into; nothing of it is altered."""

from __future__ import annotations

import os
import shutil
import sqlite3
from types import SimpleNamespace
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge import spool_file
from netdemo.bridge.spool import _Batch, make_room, write_batch
from netdemo.bridge.spool_blocks import Block, Terms, Writing, stored_block
from netdemo.bridge.spool_file import FILE, RESERVE, looking_into, open_spool_file, stored_routes
from netdemo.errors import SpoolFull, StoreError
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from pathlib import Path


class RefusedTests(SynchronousTestCase):
    """Each is refused in one line, and left as it was."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self) / "spool"
        open_spool_file(self.folder).close()

    def contents(self) -> dict[str, bytes]:
        """Return the bytes of all files."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def check_refused(self, what: str) -> None:
        """Open it, and look into it."""
        before = self.contents()
        error = self.assertRaises(StoreError, open_spool_file, self.folder)
        self.assertIn(what, str(error))
        self.assertNotIn("\n", str(error))
        self.assertEqual(before, self.contents())

    def alter(self, statement: str) -> None:
        """Alter it in another way than a bridge does."""
        connection = sqlite3.connect(self.folder / FILE, isolation_level=None)
        connection.execute(statement)
        connection.close()

    def test_newer_version(self) -> None:
        self.alter("PRAGMA user_version = 2")
        self.check_refused("is of version 2; expected one of version 1")

    def test_other_programs_database(self) -> None:
        self.alter("PRAGMA application_id = 1")
        self.check_refused("is another program's")

    def test_other_tables(self) -> None:
        self.alter("CREATE TABLE other (id)")
        self.check_refused("has the tables")

    def test_no_database(self) -> None:
        (self.folder / FILE).write_bytes(b"nonsense" * 1000)
        self.check_refused("is damaged")

    def test_block_that_is_not_whole(self) -> None:
        self.alter(
            "INSERT INTO blocks VALUES (1, 2, 3, 4.0, 'a', 1, 1, NULL, 2, x'', x'00', 0, 0, x'')"
        )
        self.check_refused("is damaged: 1 blocks are not whole")

    def test_lost_file_beside_a_log(self) -> None:
        (self.folder / FILE).rename(self.folder / f"{FILE}-wal")
        self.check_refused(f"has lost its {FILE}")

    def test_link_to_nothing(self) -> None:
        (self.folder / FILE).unlink()
        (self.folder / FILE).symlink_to("nowhere")
        error = self.assertRaises(StoreError, open_spool_file, self.folder)
        self.assertIn(f"has lost its {FILE}; expected it at nowhere", str(error))
        self.assertTrue((self.folder / FILE).is_symlink())

    def test_file_that_may_not_be_looked_for(self) -> None:
        self.patch(spool_file, "check", self.not_permitted)
        self.check_refused("can't be opened: [Errno 13] Permission denied")

    def not_permitted(self, _: Path) -> None:
        """Be not permitted."""
        raise PermissionError(13, "Permission denied")

    def test_one_in_use(self) -> None:
        spool = open_spool_file(self.folder)
        self.addCleanup(spool.close)
        self.check_refused("is in use already")


class MadeTests(SynchronousTestCase):
    """A new one."""

    def test_each_new_folder_is_on_the_disk_in_the_one_above_it(self) -> None:
        above = temporary_folder(self).resolve()
        synced = []
        self.patch(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
        open_spool_file(above / "var" / "spool").close()
        self.assertEqual(
            {str(above), str(above / "var"), str(above / "var" / "spool")}, set(synced)
        )


class RoomTests(SynchronousTestCase):
    """A spool on a disk that is nearly full."""

    def test_what_was_deleted_is_room_for_as_much(self) -> None:
        file = open_spool_file(temporary_folder(self) / "spool")
        self.addCleanup(file.close)
        block = Block(1, Terms("a", True, None, 2), 1, 0.0)
        block.add(bytes(1_000_000), None, None)
        write_batch(file, _Batch(writings=[Writing(block, print, print)]))
        make_room(file, [block.id])
        free = RESERVE + 1_100_000
        self.patch(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))
        file.check_room(900_000)
        self.assertRaises(SpoolFull, file.check_room, 1_200_000)
        assert file.file is not None
        self.assertEqual(0, file.file.with_name(f"{FILE}-wal").stat().st_size)


class LookingTests(SynchronousTestCase):
    """Looking into one."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self) / "spool"

    def test_none_is_told_and_not_made(self) -> None:
        with self.assertRaises(StoreError) as raised, looking_into(self.folder):
            pass
        self.assertIn("is not there", str(raised.exception))
        self.assertFalse(self.folder.exists())

    def test_one_that_can_not_be_read_is_not_called_damaged(self) -> None:
        (self.folder / FILE).mkdir(parents=True)
        with self.assertRaises(StoreError) as raised, looking_into(self.folder) as connection:
            stored_routes(connection)
        self.assertIn("can't be read: ", str(raised.exception))

    def test_one_that_is_closed_gets_no_log(self) -> None:
        open_spool_file(self.folder).close()
        with looking_into(self.folder) as connection:
            self.assertEqual([], stored_routes(connection))
            self.assertEqual([FILE], os.listdir(self.folder))
        self.assertEqual([FILE], os.listdir(self.folder))

    def test_log_of_a_copy_is_read_too(self) -> None:
        spool = open_spool_file(self.folder)
        self.addCleanup(spool.close)
        spool.connection.execute("INSERT INTO routes VALUES (1, x'61', x'62')")
        copy = temporary_folder(self)
        for name in (FILE, f"{FILE}-wal"):
            shutil.copy(self.folder / name, copy)
        with looking_into(copy) as connection:
            self.assertEqual(["a"], [route.name for route in stored_routes(connection)])
        self.assertEqual([FILE, f"{FILE}-wal"], sorted(os.listdir(copy)))


class BlockTests(SynchronousTestCase):
    """A block comes back as it was stored."""

    def test_records_come_back_with_keys_and_headers(self) -> None:
        block = Block(7, Terms("ids", True, "text/plain", 1), 5, 2.0)
        block.add(b"", None, None)
        block.add(b"\0\xff", "key", None)
        block.add(b"c", None, {"n": 1, "t": "x"})
        block.settled = bytearray([1, 0, 0])
        back = stored_block(block.row())
        self.assertEqual(list(block.messages()), list(back.messages()))
        self.assertEqual([1, 2], [index for index, *_ in back.messages()])
        self.assertEqual(
            ["ids-6", "ids-7"], [message.message_id for _, message, _ in back.messages()]
        )
        self.assertEqual(block.size, back.size)

    def test_record_alone_keeps_what_it_has(self) -> None:
        block = Block(7, Terms("ids", True, None, 2), 5, 2.0)
        block.add(b"a", None, None)
        block.add(b"b", "key", {"n": 1})
        ((_, message, key),) = block.alone(1, 8).messages()
        self.assertEqual(("ids-6", {"n": 1}, "key"), (message.message_id, message.headers, key))
