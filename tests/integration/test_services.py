"""The services as real processes: both from one file, and how they stop."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process
from tests.rabbitmq import free_ports

EXAMPLES = Path(__file__).parents[2] / "examples"


class ServiceTestCase(SynchronousTestCase):
    """A test with twistd in a folder of its own."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)

    def twistd(self, *arguments: str) -> Process:
        """Start it."""
        process = Process(PROGRAMS / "twistd", "-n", "--pidfile=", *arguments, cwd=self.folder)
        self.addCleanup(process.remove)
        return process

    def connect(self, port: int) -> socket.socket:
        """Connect to a port of the loopback."""
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(connection.close)
        return connection


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return all that comes, and close."""
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


class ExampleTests(ServiceTestCase):
    """``examples/netdemo.tac``, on other ports than its own, which may be in use."""

    def setUp(self) -> None:
        super().setUp()
        self.echo, self.poetry, broker, self.push, self.pull = free_ports(5)
        numbers = (self.echo, self.poetry, broker, self.push, self.pull)
        ports = dict(zip(("1234", "9000", "5672", "7001", "7002"), map(str, numbers), strict=True))
        text = (EXAMPLES / "netdemo.tac").read_text()
        text = re.sub("|".join(ports), lambda port: ports[port[0]], text)
        self.tac = self.folder / "netdemo.tac"
        self.tac.write_text(text)
        self.process = self.twistd("-y", str(self.tac))
        self.process.wait_for(f"PullFactory starting on {self.pull}")

    def test_echo_and_poetry_run_in_one_process(self) -> None:
        echo = self.connect(self.echo)
        echo.sendall(b"hello")
        echo.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_the_end(echo), b"hello")
        self.assertEqual(read_to_the_end(self.connect(self.poetry)), self.tac.read_bytes())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(PATIENCE)
            datagrams.sendto(b"hello", ("127.0.0.1", self.echo))
            self.assertEqual(datagrams.recv(100), b"hello")
        self.assertEqual(self.process.terminate(), -signal.SIGTERM)

    def test_bridge_carries_lines_through_the_broker(self) -> None:
        push, pull = self.connect(self.push), self.connect(self.pull)
        push.sendall(b"hello\n")
        self.assertEqual((push.recv(100), pull.recv(100)), (b"OK\n", b"hello\n"))
        for connection in (push, pull):
            connection.close()
        self.assertEqual(self.process.terminate(), -signal.SIGTERM)


class StoppingTests(ServiceTestCase):
    """SIGTERM while a poem is under way, which takes a second."""

    def download(self, *options: str) -> tuple[Process, socket.socket]:
        """Return the server and a connection on which the poem has begun."""
        (port,) = free_ports(1)
        poem = self.folder / "poem.txt"
        poem.write_bytes(bytes(1000))
        process = self.twistd(
            *("poetry", f"--file={poem}", "--rate=1000", *options),
            f"--listen=tcp:{port}:interface=127.0.0.1",
        )
        process.wait_for(f"starting on {port}")
        connection = self.connect(port)
        connection.recv(1, socket.MSG_PEEK)
        return process, connection

    def test_poem_is_sent_to_its_end(self) -> None:
        process, connection = self.download()
        process.signal(signal.SIGTERM)
        self.assertEqual(read_to_the_end(connection), bytes(1000))
        self.assertEqual(process.wait(), -signal.SIGTERM)

    def test_poem_that_takes_longer_than_the_grace_ends_with_a_reset(self) -> None:
        process, connection = self.download("--grace=0.1")
        process.signal(signal.SIGTERM)
        self.assertRaises(ConnectionResetError, read_to_the_end, connection)
        self.assertEqual(process.wait(), -signal.SIGTERM)

    def test_second_signal_ends_it_at_once(self) -> None:
        process, connection = self.download("--grace=1000")
        process.signal(signal.SIGTERM)
        process.wait_for("Received SIGTERM")
        process.wait_for("Port")  # the listener is closed: it is stopping
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), -signal.SIGTERM)
        connection.close()
