"""The commands while a host's name is looked up, in a thread that nothing can interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder
from tests.processes import PATIENCE

HANGING = """
import os, socket, threading
def hang(*_, **__):
    os.write(1, b"looking up\\n")  # not with print, whose lock this thread could hold at the end
    threading.Event().wait()
socket.getaddrinfo = hang
from netdemo.cli.main import main
main()
"""
"""``netdemo``, with a resolver that never answers."""


class LookupTests(SynchronousTestCase):
    """The process ends, though the resolver does not."""

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command, and wait until it looks up a name."""
        process = subprocess.Popen(
            [sys.executable, "-c", HANGING, *arguments],
            cwd=temporary_folder(self),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.assertEqual(b"looking up\n", process.stdout.readline())
        return process

    def assert_told(self, words: bytes, process: subprocess.Popen[bytes]) -> None:
        """Assert that the process ends with status 1 and one line."""
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual((1, b"netdemo " + words + b"\n"), (process.returncode, errors))

    def test_timeout_is_told(self) -> None:
        process = self.start("poetry", "poems.example:9000", "--timeout=0.1")
        self.assert_told(b"poetry: poems.example:9000: timed out", process)

    def test_interruption_is_told(self) -> None:
        for words in (
            ["poetry", "poems.example:9000"],
            ["echo", "--connect=e.example:7", "hi"],
            ["doctor", "amqp://mq.example"],
        ):
            process = self.start(*words)
            process.send_signal(signal.SIGTERM)
            self.assert_told(words[0].encode() + b": interrupted", process)
