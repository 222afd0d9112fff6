"""What a process says to be in its store is there, however the process ends."""

from __future__ import annotations

import sys
from pathlib import Path
from signal import SIGKILL

from netdemo.broker.schema import StoredBinding, StoredExchange
from tests.folders import temporary_folder
from tests.integration.storing import QUEUE
from tests.processes import Process
from tests.stores import folder_store
from tests.tidy import TidyTestCase

ROOT = Path(__file__).absolute().parent.parent.parent
KILLS = 20


class KillTests(TidyTestCase):
    """A process that puts and removes messages, and is killed with SIGKILL again and again."""

    timeout = 60

    def test_all_that_it_printed_is_there_after_each_kill(self) -> None:
        folder = temporary_folder(self) / "store"
        first = 0
        for kill in range(KILLS):
            last = self.last_printed(folder, first, kill)
            first = self.check(folder, last)

    def last_printed(self, folder: Path, first: int, lines: int) -> int:
        """Have a process begin with a number, kill it after some lines, return its last one."""
        process = Process(
            *(sys.executable, "-m", "tests.integration.storing", folder, str(first)), cwd=ROOT
        )
        self.addCleanup(process.remove)
        for _ in range(1 + lines):
            process.wait_for("")
        process.signal(SIGKILL)
        self.assertEqual(-SIGKILL, process.wait())
        return int([line for line in process.lines if line.endswith("\n")][-1])

    def check(self, folder: Path, last: int) -> int:
        """See that all up to `last` is as it was told; return the number to go on with."""
        store = folder_store(folder)
        stored = store.load()
        self.assertEqual(
            (StoredExchange("/", "e", "topic", False, False, b"table"),), stored.exchanges
        )
        self.assertEqual((StoredBinding("/", "e", "queue", "q", "key", b""),), stored.bindings)
        [queue] = stored.queues
        self.assertEqual((QUEUE, "q"), (queue.id, queue.name))
        found = [
            (position, int(message.body))
            for position, message, _ in store.fetch(QUEUE, 0, queue.highest, queue.messages + 1)
        ]
        # Of each pair the first was removed in the turn in which it was put.
        self.assertEqual([(each, each) for each in range(1, queue.next_position, 2)], found)
        self.assertLessEqual(last, queue.highest)
        self.successResultOf(store.close())
        return queue.next_position
