"""A start of our broker that fails when its store works already."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder
from tests.processes import Process

START = """
import sys
from pathlib import Path
from twisted.internet import reactor
from netdemo.broker.store import open_store
store = open_store(Path("store"), reactor)
store.add_exchange("/", "x", "direct", False, False, b"")
store.commit()
sys.exit("the port is in use")
"""
"""What a start does that fails when a store has had something to write."""


class FailedStartTests(SynchronousTestCase):
    """A process whose reactor never runs."""

    def test_process_ends(self) -> None:
        process = Process(sys.executable, "-c", START, cwd=temporary_folder(self))
        self.addCleanup(process.remove)
        self.assertEqual(1, process.wait())
