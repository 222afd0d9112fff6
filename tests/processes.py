"""Real processes of ours and of others, for integration tests: started, listened to, ended.

Without a program that it needs a test is skipped, or, when ``NETDEMO_REQUIRE_PROGRAMS=1`` is set,
fails.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from unittest import SkipTest, TestCase

if TYPE_CHECKING:
    from collections.abc import Mapping

# Programs shall buffer what they write as they do for their users.
os.environ.pop("PYTHONUNBUFFERED", None)

PATIENCE = 60.0
"""Seconds to wait for a line or an end before a test gives up."""

PROGRAMS = Path(sys.executable).parent
"""Where ``twistd``, ``twist`` and ``netdemo`` are installed."""


def skip_or_fail(reason: str) -> NoReturn:
    """Skip a test which needs a program that is not installed, or, where all must run, fail it."""
    if os.environ.get("NETDEMO_REQUIRE_PROGRAMS") == "1":
        raise AssertionError(reason)
    raise SkipTest(reason)


def require(program: str) -> None:
    """Skip or fail a test which needs `program`, if that is not installed."""
    if shutil.which(program) is None:
        skip_or_fail(f"{program} is not installed")


def heed_interrupts(test: TestCase) -> None:
    """Have SIGINT end the processes that `test` starts, also where it is ignored around the tests.

    A process inherits that it is ignored, which a shell does for what it starts with ``&``.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    test.addCleanup(signal.signal, signal.SIGINT, before)


def anonymous_memory(pid: int) -> int:
    """Return the bytes of anonymous memory that a process has resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


class Process:
    """A running program whose output, both streams together, is read line by line."""

    def __init__(
        self,
        *command: str | Path,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=pass_fds,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str) -> str:
        """Return the next line with `text` in it."""
        while (line := self._new.get(timeout=PATIENCE)) is not None:
            if text in line:
                return line
        raise AssertionError(f"{text!r} is not in the output:\n{''.join(self.lines)}")

    def terminate(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return the exit status, when it has ended by itself."""
        status = self._process.wait(PATIENCE)
        self._reader.join()
        return status

    def remove(self) -> None:
        """End it by force, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            self._new.put(line)
        self._new.put(None)
