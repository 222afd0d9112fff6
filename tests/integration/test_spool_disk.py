"""A bridge with a spool on a disk that is full, and one that is looked into while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
from itertools import count
from typing import TYPE_CHECKING

from tests.broker_process import BrokerProcessTestCase
from tests.folders import temporary_folder
from tests.integration.test_spool_kill import fetch
from tests.processes import skip_or_fail
from tests.spool_process import SpoolProcess

if TYPE_CHECKING:
    from pathlib import Path

DISK = 12 * 1024 * 1024


class SpoolDiskTests(BrokerProcessTestCase):
    """The disk is a small one in memory; the broker is gone at first."""

    stored = True
    timeout = 240

    def disk(self) -> Path:
        """Return a small disk."""
        if os.getuid() != 0:
            skip_or_fail("not root: a disk can't be mounted")
        folder = temporary_folder(self) / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
        if subprocess.run(command, timeout=30, check=False).returncode:
            skip_or_fail("a disk can't be mounted here")
        self.addCleanup(lambda: subprocess.run(["umount", str(folder)], timeout=30, check=True))
        return folder

    def bridge(self, *options: str, spool: Path | None = None) -> SpoolProcess:
        """Return a bridge that runs."""
        bridge = SpoolProcess(temporary_folder(self), self.broker.url, *options, spool=spool)
        self.addCleanup(bridge.kill)
        bridge.start()
        return bridge

    def fill(self, bridge: SpoolProcess) -> set[int]:
        """Push until the spool is full; return what was accepted."""
        accepted: set[int] = set()
        for first in count(0, 10_000):
            taken, others = bridge.push(range(first, first + 10_000), width=300)
            accepted.update(taken)
            if others:
                self.assertEqual(
                    {b"ERR spool-full"}, {b" ".join(each.split()[:2]) for each in others}
                )
                return accepted
            self.assertLess(first, 5_000_000)
        raise AssertionError

    def test_full_disk_is_answered_and_drained_when_the_broker_is_back(self) -> None:
        self.broker.kill()
        bridge = self.bridge("--ack", spool=self.disk() / "spool")
        accepted = self.fill(bridge)
        self.broker.start()
        came = fetch(self.broker.url, accepted)
        self.assertEqual(set(), accepted - {each for each, _ in came})
        again, refused = bridge.push(range(10_000), width=300)
        self.assertEqual(([], 10_000), (refused, len(again)))
        self.assertEqual(-signal.SIGTERM, bridge.stop())

    def test_space_that_returns_is_used_without_a_broker(self) -> None:
        disk = self.disk()
        (disk / "other").write_bytes(bytes(DISK - 3 * 1024 * 1024))
        self.broker.kill()
        bridge = self.bridge("--ack", spool=disk / "spool")
        accepted = self.fill(bridge)
        bridge.kill()
        bridge.start()
        (disk / "other").unlink()
        again, refused = bridge.push(range(10_000_000, 10_001_000))
        self.assertEqual(([], 1000), (refused, len(again)))
        bridge.kill()
        bridge.start()
        self.broker.start()
        wanted = accepted | set(again)
        self.assertEqual(set(), wanted - {each for each, _ in fetch(self.broker.url, wanted)})

    def test_spool_is_looked_into_while_the_bridge_runs(self) -> None:
        self.broker.kill()
        bridge = self.bridge("--ack")
        bridge.push(range(1000))
        before = sorted(os.listdir(bridge.spool))
        self.assertIn(": 1000 records, ", bridge.look("ls"))
        self.assertEqual(
            [str(number) for number in range(1000)], bridge.look("export").splitlines()
        )
        self.assertEqual(3, len(bridge.look("show", "--count", "3").splitlines()))
        self.assertEqual(before, sorted(os.listdir(bridge.spool)))
        self.assertEqual(1000, len(bridge.push(range(1000))[0]))
        bridge.kill()
        self.assertIn(": 2000 records, ", bridge.look("ls"))
        bridge.start()
        self.assertEqual(-signal.SIGTERM, bridge.stop())
        before = sorted(os.listdir(bridge.spool))
        self.assertIn(": 2000 records, ", bridge.look("ls"))
        self.assertEqual(before, sorted(os.listdir(bridge.spool)))

    def test_second_bridge_is_refused(self) -> None:
        bridge = self.bridge()
        second = SpoolProcess(temporary_folder(self), self.broker.url, spool=bridge.spool)
        self.addCleanup(second.kill)
        second.start()
        second.wait_for("amqp-bridge: " + str(bridge.spool) + ": the spool is in use already")
