"""``netdemo`` as a real process, which finds its broker in the environment."""

from __future__ import annotations

import contextlib  # trial takes a `suppress` of the module for its own
import os
import pty
import subprocess
import termios
from typing import TYPE_CHECKING
from unittest import TestCase

from netdemo.amqp.message import new_message_id
from tests.processes import PATIENCE, PROGRAMS, heed_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable


class CommandProcesses(TestCase):
    """Runs ``netdemo``; `queue` is the destination of a queue of the test's own."""

    def use_broker(self, url: str) -> None:
        """Let what is run find the broker at `url`."""
        heed_interrupts(self)
        self.queue = f"/queue/{new_message_id()}"
        self.environment = {**os.environ, "NETDEMO_BROKER": url}

    def netdemo(self, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end."""
        return subprocess.run(
            [PROGRAMS / "netdemo", *arguments],
            input=data,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=self.environment,
        )

    def shell(self, line: str) -> subprocess.CompletedProcess[bytes]:
        """Run a line of shell, in which ``$netdemo`` and ``$queue`` are set, to its end."""
        return subprocess.run(
            ["sh", "-c", line],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env={**self.environment, "netdemo": f"{PROGRAMS}/netdemo", "queue": self.queue},
        )

    def start(
        self,
        *arguments: str,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        preexec_fn: Callable[[], None] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start the command."""
        process = subprocess.Popen(
            [PROGRAMS / "netdemo", *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self.environment,
            preexec_fn=preexec_fn,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def received(self, count: int) -> list[bytes]:
        """Return the lines of so many messages that are in the queue, sorted."""
        done = self.netdemo("receive", self.queue, f"--count={count}")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return sorted(done.stdout.splitlines())


class Terminal:
    """A pseudo-terminal: `its` is the end for a command, and what that writes is read from ours."""

    def __init__(self, test: TestCase) -> None:
        self._ours, self.its = pty.openpty()
        self.shown = b""
        termios.tcsetwinsize(self.its, (24, 80))
        test.addCleanup(os.close, self._ours)
        test.addCleanup(self._close_its)

    def take(self) -> None:
        """Become all three streams of the process that calls this, and what its keys interrupt."""
        os.login_tty(self.its)

    def type(self, keys: bytes) -> None:
        """Have keys typed."""
        os.write(self._ours, keys)

    def wait_for(self, text: bytes) -> None:
        """Read until `text` is shown."""
        while text not in self.shown:
            self.shown += os.read(self._ours, 65536)

    def read_all(self) -> bytes:
        """Return all that was shown, when nobody has it open any more."""
        self._close_its()
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := os.read(self._ours, 65536):
                self.shown += part
        return self.shown

    def _close_its(self) -> None:
        if self.its >= 0:
            os.close(self.its)
            self.its = -1
