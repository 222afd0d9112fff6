"""``netdemo echo`` as a real process, with servers that err and with those of others."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process, require
from tests.rabbitmq import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024
NETDEMO = PROGRAMS / "netdemo"


class ErringServerTests(SynchronousTestCase):
    """Servers that are none, or not of the right kind."""

    def serve(self, answer: Callable[[socket.socket], None]) -> str:
        """Let `answer` have the first who connects, and close; return the address."""
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(PATIENCE)

        def serve() -> None:
            with listening:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(ConnectionError):
                    answer(connection)

        serving = threading.Thread(target=serve)
        serving.start()
        self.addCleanup(serving.join)
        return f"127.0.0.1:{listening.getsockname()[1]}"

    def refusal(self, address: str, *arguments: str, data: bytes = b"", output: bytes = b"") -> str:
        """Return the one line with which the command fails, without its beginning."""
        done = subprocess.run(
            [NETDEMO, "echo", "--connect", address, *arguments],
            input=data,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual((1, output), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, rb"\A[^\n]+\n\Z")
        beginning, line = f"netdemo echo: {address}: ", done.stderr.decode()
        self.assertTrue(line.startswith(beginning), line)
        return line.removeprefix(beginning).rstrip()

    def test_nobody_listens(self) -> None:
        (port,) = free_ports(1)
        for arguments in (("hello",), (), ("--ping=1",)):
            self.assertEqual("Connection refused", self.refusal(f"127.0.0.1:{port}", *arguments))
        self.assertEqual(
            "No such file or directory", self.refusal("unix:/nowhere/echo.sock", "hello")
        )

    def test_server_closes_early(self) -> None:
        def close_early(connection: socket.socket) -> None:
            connection.sendall(connection.recv(5)[:2])

        words = "closed early: 2 of 5 bytes came back"
        self.assertEqual(words, self.refusal(self.serve(close_early), "hello"))
        self.assertEqual(words, self.refusal(self.serve(close_early), data=b"hello", output=b"he"))

    def test_server_closes_a_ping_early(self) -> None:
        address = self.serve(lambda connection: connection.sendall(connection.recv(64)))
        done = subprocess.run(
            [NETDEMO, "echo", "--connect", address, "--ping=5"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("2 sent, 1 came back\nround trip min/median/p99/max = ", done.stdout)
        self.assertRegex(
            done.stderr, r"\Anetdemo echo: .*: closed early: 64 of 128 bytes came back.*\n\Z"
        )

    def test_server_answers_something_else(self) -> None:
        def shout(connection: socket.socket) -> None:
            connection.sendall(connection.recv(5).upper())
            connection.recv(1)

        words = "different answer after 0 right bytes: expected b'hello', received b'HELLO'"
        self.assertEqual(words, self.refusal(self.serve(shout), "hello"))
        self.assertEqual(words, self.refusal(self.serve(shout), data=b"hello", output=b"HELLO"))

    def test_server_that_resets_is_told(self) -> None:
        def reset(connection: socket.socket) -> None:
            connection.recv(1)  # what is left unread resets the connection

        words = self.refusal(self.serve(reset), "hello")
        self.assertEqual("closed early: 0 of 5 bytes came back (lost before its end)", words)

    def test_server_that_echoes_at_the_end_of_the_input_needs_the_half_close(self) -> None:
        def late(connection: socket.socket) -> None:
            data = b"".join(iter(lambda: connection.recv(1024), b""))
            connection.sendall(data)

        done = subprocess.run(
            [NETDEMO, "echo", "--connect", self.serve(late)],
            input=b"late",
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual((0, b"late", b""), (done.returncode, done.stdout, done.stderr))


class SocatTests(SynchronousTestCase):
    """A server of others: ``socat`` with ``cat``."""

    def test_every_byte_comes_back(self) -> None:
        require("socat")
        (port,) = free_ports(1)
        server = Process(
            *("socat", "-d", "-d", f"TCP-LISTEN:{port},bind=127.0.0.1,fork", "EXEC:cat"),
            cwd=temporary_folder(self),
        )
        self.addCleanup(server.remove)
        server.wait_for("listening on")
        data = os.urandom(3 * MIB)
        for arguments, given, expected in (
            (("hello",), b"", b"Server said: hello\n"),
            ((), data, data),
        ):
            done = subprocess.run(
                [NETDEMO, "echo", f"--connect={port}", *arguments],
                input=given,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
            self.assertEqual((0, b""), (done.returncode, done.stderr))
            self.assertTrue(done.stdout == expected)
