"""The bars of ``netdemo poetry``, on a real terminal."""

from __future__ import annotations

import contextlib  # trial takes a `suppress` of the module for its own
import os
import pty
import re
import signal
import socket
import subprocess
import termios
import threading

from tests.integration.test_poetry_command import POEM, PoetryCommandTestCase
from tests.processes import PATIENCE


class TerminalTests(PoetryCommandTestCase):
    """Bars, on a real terminal."""

    def terminal(self, *arguments: str, stdout: bool) -> tuple[int, str, bytes]:
        """Run the command on a terminal; return its status, what that was sent, and stdout."""
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (24, 80))
        process = self.start(*arguments, stdout=its if stdout else subprocess.PIPE, stderr=its)
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := os.read(ours, 65536):
                shown += part
        os.close(ours)
        output = b"" if stdout else process.communicate(timeout=PATIENCE)[0]
        return process.wait(PATIENCE), shown.decode(), output

    def test_bar_for_each_source_and_lines_above_them(self) -> None:
        good, down = self.saying(POEM), self.down()
        status, shown, output = self.terminal(good, down, stdout=False)
        self.assertEqual((status, output), (1, POEM))
        self.assertRegex(shown, rf"{good}.*21 bytes.*done")
        self.assertRegex(shown, rf"{down}.*failed")
        self.assertIn(f"netdemo poetry: {down}: Connection refused\r\n", shown)

    def test_poems_on_the_same_terminal_are_whole(self) -> None:
        first, second = self.saying(POEM + b"a red wheel"), self.saying(b"barrow\n")
        status, shown, _ = self.terminal(first, second, stdout=True)
        self.assertEqual(status, 0)
        screen = _screen(shown)
        poems = [line for line in screen if "bytes" not in line]
        self.assertEqual(poems, ["so much depends upon", "a red wheel", "barrow"])

    def test_terminal_that_takes_nothing_keeps_no_server_waiting(self) -> None:
        ours, its = pty.openpty()
        self.addCleanup(os.close, ours)
        asked = threading.Event()

        def later(connection: socket.socket) -> None:
            if asked.wait(PATIENCE):
                connection.sendall(POEM)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # until it is closed, which is when all was read
                self.begun.release()

        process = self.start(self.saying(POEM * 10_000), self.server(later), stdout=its)
        os.close(its)
        shown = os.read(ours, 1)  # it is being printed
        asked.set()
        self.assertTrue(self.begun.acquire(timeout=PATIENCE))
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                shown += part
        self.assertEqual(shown.replace(b"\r", b""), POEM * 10_001)
        self.assertEqual(self.ended(process), (0, None, b""))

    def test_interrupted_it_leaves_the_line_and_the_cursor(self) -> None:
        ours, its = pty.openpty()
        process = self.start(self.endless(), stderr=its)
        os.close(its)
        self.addCleanup(os.close, ours)
        shown = b""
        while b"21 bytes" not in shown:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                shown += part
        self.assertTrue(shown.endswith(b"netdemo poetry: interrupted\r\n"))
        self.assertIn(b"\x1b[?25h", shown)
        self.assertEqual(process.wait(PATIENCE), 1)


def _screen(shown: str) -> list[str]:
    """Return the lines that a terminal shows which was sent `shown`, those not empty."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\??[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", shown):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.startswith("\x1b[") and part.endswith("A"):
            row -= int(part[2:-1] or 1)
        elif not part.startswith(("\x1b", "\r")):
            lines[row] += part
    return [line.strip() for line in lines if line.strip()]
