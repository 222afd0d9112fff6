"""That the benchmarks' load counts what went wrong, and that their goals can be missed."""

from __future__ import annotations

import socket
import subprocess
import threading
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.comparison import Goal, Row, at_least, is_reached
from benchmarks.load import Reading, parse
from benchmarks.provision import compiled
from benchmarks.servers import free_port
from tests.processes import require

if TYPE_CHECKING:
    from collections.abc import Callable


def row(peer: str, *figures: float) -> Row:
    """Return what rounds read as `figures`."""
    return Row(peer, [Reading(figure) for figure in figures])


def listens(port: int) -> bool:
    """Return whether a connection is accepted on `port`."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


class GoalTests(SynchronousTestCase):
    """Goals and the ratios they look at."""

    def test_the_ratio_is_that_within_the_rounds(self) -> None:
        self.assertEqual(row("ours", 10, 2, 30).ratio(row("theirs", 5, 1, 60)), 2)

    def test_a_goal_of_equal_speed(self) -> None:
        goal = at_least("ours", "theirs")
        self.assertTrue(is_reached(goal, [row("theirs", 5), row("ours", 5)]))
        self.assertFalse(is_reached(goal, [row("theirs", 5), row("ours", 4.9)]))

    def test_a_goal_beside_a_peer_that_was_left_out_is_not_reached(self) -> None:
        goal = Goal("any", ("ours", "theirs"), lambda _: True)
        self.assertFalse(is_reached(goal, [row("ours", 5)]))


class LoadTests(SynchronousTestCase):
    """The load in C, against servers that do what they should and those that don't."""

    def setUp(self) -> None:
        require("cc")

    def load(self, mode: str, port: int, size: int, request: str = "") -> tuple[int, float, float]:
        """Run it for a moment on two connections; return status, count and errors."""
        numbers = [port, 2, size, 0.2]
        finished = subprocess.run(
            [compiled("load"), mode, *map(str, numbers), *([request] if request else [])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        found = parse(finished.stdout)
        return finished.returncode, found["count"], found["errors"]

    def served(self, answer: Callable[[bytes], bytes], *, reads: bool = True) -> int:
        """Serve: read once, send the answer, close. Return the port."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer(connection.recv(1000) if reads else b""))

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(listener.close)
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)
        return int(listener.getsockname()[1])

    def test_echo(self) -> None:
        port = free_port()
        server = subprocess.Popen([compiled("echo_server"), str(port)])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        while not listens(port):
            self.assertIsNone(server.poll())
        status, count, errors = self.load("echo", port, 64)
        self.assertEqual((status, errors), (0, 0))
        self.assertGreater(count, 0)
        self.assertEqual(self.load("idle", port, 1), (0, 2, 0))

    def test_an_echo_of_other_bytes(self) -> None:
        port = self.served(lambda data: data[::-1])
        self.assertEqual(self.load("echo", port, 64), (1, 0, 2))

    def test_whole_downloads(self) -> None:
        port = self.served(lambda _: b"poem" * 500, reads=False)
        status, count, errors = self.load("files", port, 2000)
        self.assertEqual((status, errors), (0, 0))
        self.assertGreater(count, 0)

    def test_a_short_download(self) -> None:
        port = self.served(lambda _: b"poem" * 499, reads=False)
        self.assertEqual(self.load("bulk", port, 2000), (1, 0, 2))

    def test_the_head_of_an_answer_is_not_counted(self) -> None:
        port = self.served(lambda data: b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + data)
        request = "GET / HTTP/1.1\r\n\r\n"
        self.assertEqual(self.load("bulk", port, len(request), request), (0, 2, 0))

    def test_nobody_listens(self) -> None:
        self.assertEqual(self.load("bulk", free_port(), 1), (1, 0, 2))
