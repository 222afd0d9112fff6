"""What twistd itself does to a command: another directory, and a life as a daemon."""

from __future__ import annotations

import signal
import socket
import subprocess
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import tls_client, write_certificate
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process
from tests.rabbitmq import free_ports

POEM = b"so much depends upon\n"


class TwistdTestCase(SynchronousTestCase):
    """A test in a folder of its own."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)


class RunDirTests(TwistdTestCase):
    """``--rundir``: names of files are those of the directory where the command was typed."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "run").mkdir()
        (self.folder / "poem.txt").write_bytes(POEM)
        write_certificate(self.folder / "tls.pem")
        (self.port,) = free_ports(1)
        tls = f"ssl:{self.port}:interface=127.0.0.1:privateKey=tls.pem:certKey=tls.pem"
        self.process = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "--rundir=run"),
            *("poetry", "--file=poem.txt", "--listen=unix:poetry.sock", f"--listen={tls}"),
            cwd=self.folder,
        )
        self.addCleanup(self.process.remove)
        self.process.wait_for(f"starting on {self.port}")  # the second of the two

    def read(self, connection: socket.socket) -> bytes:
        """Read to the end."""
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        return b"".join(iter(lambda: connection.recv(4096), b""))

    def test_poem_unix_socket_and_certificate_are_found_there(self) -> None:
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(str(self.folder / "poetry.sock"))
        self.assertEqual(self.read(unix), POEM)
        plain = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.assertEqual(self.read(tls_client(plain)), POEM)
        self.assertEqual(self.process.terminate(), -signal.SIGTERM)
        self.assertFalse((self.folder / "poetry.sock").exists())


class DaemonTests(TwistdTestCase):
    """Without ``-n``."""

    def test_port_in_use_is_in_the_log_and_the_status_is_1(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            endpoint = f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1"
            ended = subprocess.run(
                [PROGRAMS / "twistd", "--logfile=log", "echo", f"--listen={endpoint}"],
                cwd=self.folder,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        self.assertEqual(ended.returncode, 1)
        log = (self.folder / "log").read_text()
        self.assertIn(f"cannot listen on {endpoint}: Address already in use\n", log)
        # The daemon says that it failed, and then removes it.
        deadline = time.monotonic() + PATIENCE
        while (self.folder / "twistd.pid").exists():
            self.assertLess(time.monotonic(), deadline, "twistd.pid is still there")
            time.sleep(0.01)


class EagerReactorTests(TwistdTestCase):
    """``--reactor eager``: a command on our reactor."""

    def test_echo_over_tcp_tls_and_a_unix_socket(self) -> None:
        write_certificate(self.folder / "tls.pem")
        plain, encrypted = free_ports(2)
        process = Process(
            *(PROGRAMS / "twistd", "--reactor=eager", "-n", "--pidfile=", "echo"),
            *("--listen=unix:echo.sock", f"--listen=tcp:{plain}:interface=127.0.0.1"),
            f"--listen=ssl:{encrypted}:interface=127.0.0.1:privateKey=tls.pem:certKey=tls.pem",
            cwd=self.folder,
        )
        self.addCleanup(process.remove)
        process.wait_for("reactor class: netdemo.reactor.EagerReactor")
        process.wait_for(f"starting on {encrypted}")
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(str(self.folder / "echo.sock"))
        for connection in (
            unix,
            socket.create_connection(("127.0.0.1", plain), PATIENCE),
            tls_client(socket.create_connection(("127.0.0.1", encrypted), PATIENCE)),
        ):
            self.addCleanup(connection.close)
            connection.settimeout(PATIENCE)
            for _ in range(3):
                connection.sendall(POEM)
                self.assertEqual(connection.recv(4096), POEM)
        self.assertEqual(process.terminate(), -signal.SIGTERM)
