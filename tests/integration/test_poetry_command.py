"""``netdemo poetry`` as a real process, with real servers of ours and of others."""

from __future__ import annotations

import contextlib  # trial takes a `suppress` of the module for its own
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import write_certificate
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process, heed_interrupts, require
from tests.rabbitmq import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

POEM = b"so much depends upon\n"
MEGABYTE = 1024 * 1024
LARGE = 200 * MEGABYTE
MEMORY = 96 * MEGABYTE
"""Bytes that the command may have in memory at most, most of which are Python and its modules."""

MEASURED = """
import os
from pathlib import Path
from netdemo.cli.main import main
try:
    main()
finally:
    Path(os.environ["STATUS"]).write_bytes(Path("/proc/self/status").read_bytes())
"""
"""``netdemo``, which tells at its end how much memory it had."""


class PoetryCommandTestCase(SynchronousTestCase):
    """A test in a folder of its own, with servers of its own."""

    def setUp(self) -> None:
        heed_interrupts(self)
        self.folder = temporary_folder(self)
        self.output = self.folder / "poems"
        self.begun = threading.Semaphore(0)

    def poetry_server(self, path: Path) -> str:
        """Start ``twistd poetry`` with the file at `path`; return its address."""
        (port,) = free_ports(1)
        process = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "poetry", f"--file={path}"),
            f"--listen=tcp:{port}:interface=127.0.0.1",
            cwd=self.folder,
        )
        self.addCleanup(process.remove)
        process.wait_for(f"starting on {port}")
        return str(port)

    def server(self, answer: Callable[[socket.socket], object]) -> str:
        """Let `answer` have every connection, in a thread, and close it; return the address."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        self.addCleanup(listening.shutdown, socket.SHUT_RDWR)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connection.settimeout(PATIENCE)
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        return str(listening.getsockname()[1])

    def saying(self, poem: bytes) -> str:
        """Return the address of a server that says `poem`."""
        return self.server(lambda connection: connection.sendall(poem))

    def endless(self) -> str:
        """Return the address of a server that says something, and then nothing.

        For each connection it releases `begun`.
        """

        def wait(connection: socket.socket) -> None:
            connection.sendall(POEM)
            self.begun.release()
            connection.recv(1)

        return self.server(wait)

    def down(self) -> str:
        """Return an address where nobody listens."""
        return str(free_ports(1)[0])

    def start(
        self, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Start the command."""
        process = subprocess.Popen(
            [PROGRAMS / "netdemo", "poetry", *arguments],
            cwd=self.folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def ended(self, process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
        """Return exit status, standard output and standard error of an ended process."""
        output, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, output, errors

    def poetry(self, *arguments: str) -> tuple[int, bytes, bytes]:
        """Run the command to its end."""
        return self.ended(self.start(*arguments))

    def shell(self, line: str) -> tuple[int, bytes, bytes]:
        """Run a line of shell to its end."""
        process = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env={**os.environ, "netdemo": f"{PROGRAMS}/netdemo"},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return process.returncode, process.stdout, process.stderr

    def files(self) -> dict[str, bytes]:
        """Return what is in the output folder."""
        return {path.name: path.read_bytes() for path in self.output.iterdir()}


class OutcomeTests(PoetryCommandTestCase):
    """What is printed, told and returned."""

    def test_poems_are_printed_in_the_order_of_the_addresses(self) -> None:
        first_may_end = threading.Event()

        def last(connection: socket.socket) -> None:
            first_may_end.wait(PATIENCE)
            connection.sendall(b"first\n")

        def first(connection: socket.socket) -> None:
            connection.sendall(b"second, which ends first\n")
            first_may_end.set()

        (self.folder / "poem").write_bytes(POEM)
        addresses = [self.server(last), self.server(first), self.poetry_server(Path("poem"))]
        self.assertEqual(
            self.poetry(*addresses), (0, b"first\nsecond, which ends first\n" + POEM, b"")
        )

    def test_servers_that_fail_keep_no_poem_of_another(self) -> None:
        def reset(connection: socket.socket) -> None:
            connection.sendall(POEM * 500_000)  # more than is taken before it is read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        down, broken, endless = self.down(), self.server(reset), self.endless()
        good = [self.saying(b"one\n"), self.saying(b"two\n")]
        addresses = [down, good[0], broken, endless, good[1]]
        status, output, errors = self.poetry(*addresses, "--timeout=1")
        self.assertEqual((status, output), (1, b"one\ntwo\n"))
        self.assertEqual(
            sorted(errors.decode().splitlines()),
            sorted(
                [
                    f"netdemo poetry: {down}: Connection refused",
                    f"netdemo poetry: {broken}: lost before its end",
                    f"netdemo poetry: {endless}: timed out",
                ]
            ),
        )
        status, _, _ = self.poetry(*addresses, "--timeout=1", "--output=poems")
        self.assertEqual(status, 1)
        self.assertEqual(self.files(), {good[0]: b"one\n", good[1]: b"two\n"})

    def test_bad_address_is_named_before_anything_connects(self) -> None:
        asked: list[socket.socket] = []
        status, output, errors = self.poetry(self.server(asked.append), "nowhere", "--output=poems")
        self.assertEqual((status, output, asked), (1, b"", []))
        self.assertRegex(errors, rb"\Anetdemo poetry: bad address 'nowhere': expected [^\n]+\n\Z")
        self.assertFalse(self.output.exists())

    def test_folder_that_cannot_be_used_is_told_before_anything_connects(self) -> None:
        self.output.touch()
        asked: list[socket.socket] = []
        self.assertEqual(
            self.poetry(self.server(asked.append), "--output=poems"),
            (1, b"", b"netdemo poetry: cannot use --output 'poems': File exists\n"),
        )
        self.assertEqual(asked, [])

    def test_help_has_an_example(self) -> None:
        status, output, _ = self.poetry("--help")
        self.assertEqual(status, 0)
        self.assertIn(b"Example: netdemo poetry 9000 ", output)

    def test_certificate_that_nobody_signed_is_told(self) -> None:
        write_certificate(self.folder / "tls.pem")
        (port,) = free_ports(1)
        process = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "poetry", "--file=tls.pem"),
            f"--listen=ssl:{port}:interface=127.0.0.1:privateKey=tls.pem:certKey=tls.pem",
            cwd=self.folder,
        )
        self.addCleanup(process.remove)
        process.wait_for(f"starting on {port}")
        address = f"tls:localhost:{port}"
        line = f"netdemo poetry: {address}: the certificate's issuer is not trusted\n"
        self.assertEqual(self.poetry(address), (1, b"", line.encode()))


class PeerTests(PoetryCommandTestCase):
    """Servers that others wrote."""

    def download(self, port: str, *command: str) -> None:
        """Download what `command`, a server on `port`, sends from its standard input."""
        require(command[0])
        (self.folder / "poem").write_bytes(os.urandom(3 * MEGABYTE))
        with (self.folder / "poem").open("rb") as poem:
            process = Process(*command, cwd=self.folder, stdin=poem.fileno())
        self.addCleanup(process.remove)
        process.wait_for("istening on")
        status, output, errors = self.poetry(port)
        self.assertEqual((status, errors), (0, b""))
        self.assertTrue(output == (self.folder / "poem").read_bytes())

    def test_netcat(self) -> None:
        port = self.down()
        self.download(port, "nc", "-v", "-N", "-l", "127.0.0.1", port)

    def test_socat(self) -> None:
        port = self.down()
        self.download(port, "socat", "-d", "-d", "-u", "-", f"TCP-LISTEN:{port},bind=127.0.0.1")


class LargeTests(PoetryCommandTestCase):
    """A large poem, in memory that does not grow with it."""

    def setUp(self) -> None:
        super().setUp()
        self.poem = self.folder / "poem"
        with self.poem.open("wb") as poem:
            for place in range(0, LARGE, 10 * MEGABYTE):
                poem.seek(place)
                poem.write(b"%d" % place)
            poem.truncate(LARGE)
        self.address = self.poetry_server(self.poem)

    def peak(self, *arguments: str, stdout: int) -> int:
        """Run the command; return the most memory that it had, in bytes."""
        status = self.folder / "status"
        subprocess.run(
            [sys.executable, "-c", MEASURED, "poetry", self.address, *arguments],
            cwd=self.folder,
            env={**os.environ, "STATUS": str(status)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            timeout=PATIENCE,
            check=True,
        )
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found is not None
        return int(found[1]) * 1024

    def test_file_is_byte_identical(self) -> None:
        self.assertLess(self.peak("--output=poems", stdout=subprocess.DEVNULL), MEMORY)
        subprocess.run(["cmp", self.poem, self.output / self.address], check=True)
        self.assertEqual(os.listdir(self.output), [self.address])

    def test_standard_output_is_byte_identical(self) -> None:
        with (self.folder / "printed").open("wb") as printed:
            self.assertLess(self.peak(stdout=printed.fileno()), MEMORY)
        subprocess.run(["cmp", self.poem, self.folder / "printed"], check=True)

    def test_reader_who_takes_his_time_costs_no_other_server_its_timeout(self) -> None:
        printing, ended = threading.Event(), threading.Event()

        def later(connection: socket.socket) -> None:
            if printing.wait(PATIENCE):
                connection.sendall(POEM)
                ended.set()

        process = self.start(self.address, self.server(later), "--timeout=20")
        assert process.stdout is not None
        total = len(process.stdout.read(1))
        printing.set()
        self.assertTrue(ended.wait(PATIENCE))  # though nobody reads on
        while part := process.stdout.read(MEGABYTE):
            total += len(part)
        self.assertEqual(total, LARGE + len(POEM))
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_nobody_reads_on(self) -> None:
        _, output, errors = self.shell(
            f"$netdemo poetry {self.address} | head -c 1; exit ${{PIPESTATUS[0]}}"
        )
        self.assertEqual((output, errors), (b"0", b""))

    def test_interrupted_while_nobody_reads_it_ends(self) -> None:
        process = self.start(self.address)
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        self.assertEqual(process.stderr.read(), b"netdemo poetry: interrupted\n")
        self.assertEqual(process.wait(PATIENCE), 1)


class StreamTests(PoetryCommandTestCase):
    """Standard output that can't be written, and disks that are full."""

    def test_full_disk_under_standard_output_is_one_line(self) -> None:
        self.assertEqual(
            self.shell(f"$netdemo poetry {self.saying(POEM)} > /dev/full"),
            (
                1,
                b"",
                b"netdemo poetry: cannot write standard output: No space left on device\n",
            ),
        )

    def test_closed_standard_output_is_one_line_and_no_matter_with_output(self) -> None:
        address = self.saying(POEM)
        status, _, errors = self.shell(f"$netdemo poetry {address} >&-")
        self.assertEqual(status, 1)
        self.assertRegex(errors, rb"\Anetdemo poetry: standard output is closed[^\n]+\n\Z")
        self.assertEqual(self.shell(f"$netdemo poetry {address} --output=poems >&-"), (0, b"", b""))
        self.assertEqual(self.files(), {address: POEM})

    def test_disk_that_fills_is_told_by_address_and_keeps_no_other(self) -> None:
        large, small = self.saying(POEM * 100_000), self.saying(POEM)
        # A limit to the size of files stands in for a disk that fills.
        status, _, errors = self.shell(
            f"trap '' XFSZ; ulimit -f 64; $netdemo poetry {large} {small} --output=poems"
        )
        self.assertEqual(
            (status, errors.decode()),
            (1, f"netdemo poetry: {large}: cannot write poems/{large}: File too large\n"),
        )
        self.assertEqual(self.files(), {small: POEM})

    def test_temporary_folder_that_fills_is_told_by_address_and_keeps_no_other(self) -> None:
        # The last byte, which waits in a buffer, is the one that it has no room for.
        large, small = self.saying(bytes(2 * MEGABYTE + 1)), self.saying(POEM)
        self.assertEqual(
            self.shell(f"trap '' XFSZ; ulimit -f 2048; $netdemo poetry {large} {small}"),
            (
                1,
                POEM,
                f"netdemo poetry: {large}: cannot write temporary file: File too large\n".encode(),
            ),
        )


class InterruptedTests(PoetryCommandTestCase):
    """A signal ends all downloads."""

    def test_one_line_is_told_and_no_file_left(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start(self.endless(), self.endless(), "--output=poems")
            for _ in range(2):
                self.assertTrue(self.begun.acquire(timeout=PATIENCE))
            self.assertEqual(len(os.listdir(self.output)), 2)
            process.send_signal(number)
            self.assertEqual(self.ended(process), (1, b"", b"netdemo poetry: interrupted\n"))
            self.assertEqual(os.listdir(self.output), [])
            self.output.rmdir()

    def test_hangup_that_is_ignored_stays_so(self) -> None:
        self.addCleanup(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_IGN))
        asked, hung_up = threading.Event(), threading.Event()

        def later(connection: socket.socket) -> None:
            asked.set()
            if hung_up.wait(PATIENCE):
                connection.sendall(POEM)

        process = self.start(self.server(later))
        self.assertTrue(asked.wait(PATIENCE))
        process.send_signal(signal.SIGHUP)
        hung_up.set()
        self.assertEqual(self.ended(process), (0, POEM, b""))
