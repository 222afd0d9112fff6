"""A store on a real disk, with a real thread; and on one that is full."""

from __future__ import annotations

import os
import subprocess
import threading
from functools import partial
from typing import TYPE_CHECKING
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from netdemo.broker.commits import RETRY
from netdemo.broker.store import open_store
from tests.folders import temporary_folder
from tests.stores import bodies, folder_store, message
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from pathlib import Path

DISK = 2 * 1024 * 1024
BODY = bytes(50_000)


class ThreadTests(TidyTestCase):
    """The thread of a store."""

    timeout = 30

    async def test_what_is_written_in_it_is_there_and_it_ends(self) -> None:
        folder = temporary_folder(self) / "store"
        threads = threading.enumerate()
        store = open_store(folder, reactor)
        store.add_queue(1, "/", "q", False, b"")
        for position in range(500):
            on_disk: Deferred[None] = Deferred()
            store.put(1, position, message(b"%d" % position), None)
            store.on_disk(partial(on_disk.callback, None))
            store.commit()
            if position % 100 == 0:
                await on_disk
        store.purge(1, 0, 249)
        self.assertEqual(list(range(250, 500)), list(bodies(store, 1)))
        await store.close()
        self.assertEqual(threads, threading.enumerate())
        store = open_store(folder, reactor)
        self.assertEqual(250, store.load().queues[0].messages)
        await store.close()


class FullDiskTests(TidyTestCase):
    """A file system of two megabytes, which becomes full."""

    timeout = 30

    def setUp(self) -> None:
        self.disk = temporary_folder(self)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "netdemo", str(self.disk)]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            raise SkipTest("a file system of its own needs root's rights to mount it")
        self.addCleanup(self.unmount)
        self.ballast: Path = self.disk / "ballast"
        self.ballast.write_bytes(bytes(DISK // 4))
        self.clock = Clock()
        self.store = folder_store(self.disk / "store", self.clock)
        self.store.add_queue(1, "/", "q", False, b"")
        self.put = 0
        self.told: list[int] = []

    def unmount(self) -> None:
        """Remove the file system."""
        subprocess.run(["umount", self.disk], check=True, timeout=10)

    def fill(self) -> None:
        """Put messages, each in a transaction of its own, until there is no more room."""
        while self.store.failing is None:
            self.store.put(1, self.put, message(BODY), None)
            self.store.on_disk(partial(self.told.append, self.put))
            self.store.commit()
            self.put += 1

    def stored(self) -> list[int]:
        """Open the store again; return the positions that are in it."""
        store = folder_store(self.disk / "store", self.clock)
        positions = list(bodies(store, 1))
        self.successResultOf(store.close())
        return positions

    def test_publisher_is_told_nothing_until_there_is_room(self) -> None:
        self.fill()
        self.assertEqual("database or disk is full", self.store.failing)
        self.assertEqual(list(range(self.put - 1)), self.told)
        self.ballast.unlink()
        self.clock.advance(RETRY)
        self.assertEqual((None, list(range(self.put))), (self.store.failing, self.told))
        self.successResultOf(self.store.close())
        self.assertEqual(list(range(self.put)), self.stored())

    def test_closed_while_it_is_full_all_that_was_told_is_there(self) -> None:
        self.fill()
        self.successResultOf(self.store.close())
        self.assertEqual(self.told, self.stored())
