"""``netdemo echo`` as a real process, with the real ``twistd echo``."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import select
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import write_certificate
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process, heed_interrupts
from tests.rabbitmq import free_ports

MIB = 1024 * 1024
NETDEMO = PROGRAMS / "netdemo"


class EchoCommandTestCase(SynchronousTestCase):
    """A test with a ``twistd echo`` of its own, on TCP, TLS and a unix socket."""

    def setUp(self) -> None:
        heed_interrupts(self)
        self.folder = temporary_folder(self)
        write_certificate(self.folder / "tls.pem")
        port, tls = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.tls = f"ssl:127.0.0.1:{tls}"
        self.unix = f"unix:{self.folder}/echo.sock"
        server = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "echo"),
            f"--listen=tcp:{port}:interface=127.0.0.1",
            f"--listen={self.unix}",
            f"--listen=ssl:{tls}:interface=127.0.0.1:privateKey=tls.pem:certKey=tls.pem",
            cwd=self.folder,
        )
        self.addCleanup(server.remove)
        server.wait_for(f"starting on {tls}")  # the last of them

    def echo(
        self, *arguments: str, address: str = "", data: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end."""
        return subprocess.run(
            [NETDEMO, "echo", f"--connect={address or self.address}", *arguments],
            input=data,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def shell(self, line: str) -> tuple[int, bytes, bytes]:
        """Run a line of shell, in which ``$echo`` is the command; return status, output, errors."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, "echo": f"{NETDEMO} echo --connect {self.address}"},
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command."""
        process = subprocess.Popen(
            [NETDEMO, "echo", f"--connect={self.address}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def random_file(self, size: int) -> Path:
        """Return a new file of `size` random bytes."""
        path = self.folder / "random"
        path.write_bytes(os.urandom(size))
        return path


class MessageTests(EchoCommandTestCase):
    """``netdemo echo MESSAGE``"""

    def test_message_comes_back_on_every_transport(self) -> None:
        for address in (self.address, f"tcp:{self.address}", self.tls, self.unix):
            done = self.echo("hello", address=address)
            self.assertEqual(
                (0, b"Server said: hello\n", b""), (done.returncode, done.stdout, done.stderr)
            )

    def test_certificate_that_is_anothers_is_told(self) -> None:
        address = self.tls.replace("ssl:", "tls:") + f":trustRoots={self.folder}"
        done = self.echo("hello", address=address)
        words = f"netdemo echo: {address}: the certificate is not for 127.0.0.1\n"
        self.assertEqual((1, b"", words.encode()), (done.returncode, done.stdout, done.stderr))

    def test_any_message_comes_back(self) -> None:
        for message in (b"", b"-x-", b"\xff\xfe", b"a\nb", "Grüße".encode(), b"x" * 100_000):
            done = self.echo("--", os.fsdecode(message))
            self.assertEqual(
                (0, b"Server said: " + message + b"\n"), (done.returncode, done.stdout)
            )

    def test_output_that_cannot_be_written_is_one_line(self) -> None:
        self.assertEqual(
            (1, b"", b"netdemo echo: cannot write standard output: No space left on device\n"),
            self.shell("$echo hello > /dev/full"),
        )
        self.assertEqual(
            (1, b"", b"netdemo echo: standard output is closed: expected it open\n"),
            self.shell("$echo hello >&-"),
        )


class FilterTests(EchoCommandTestCase):
    """``netdemo echo`` in a pipe."""

    def test_fifty_megabytes_come_back_in_bounded_memory(self) -> None:
        data = os.urandom(MIB)
        process = self.start()
        stdin, stdout = streams(process)
        stdin.write(b"x")
        self.assertEqual(b"x", stdout.read(1))
        before = peak_memory(process)

        def send() -> None:
            for _ in range(50):
                write_all(stdin, data)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        received = hashlib.sha256()
        for _ in range(50):
            received.update(read_exactly(stdout, MIB))
        self.assertEqual(hashlib.sha256(data * 50).digest(), received.digest())
        sending.join()
        self.assertLess(peak_memory(process) - before, 8 * MIB)
        self.assertEqual((b"", b""), process.communicate(timeout=PATIENCE))
        self.assertEqual(0, process.returncode)

    def test_every_byte_comes_back_on_every_transport(self) -> None:
        data = os.urandom(3 * MIB)
        for address in (self.address, self.tls, self.unix):
            done = self.echo(address=address, data=data)
            self.assertEqual((0, b""), (done.returncode, done.stderr))
            self.assertTrue(done.stdout == data)

    def test_files_pipes_and_devices(self) -> None:
        self.random_file(10 * MIB)
        for line in (
            "$echo < random > back && cmp random back",
            "$echo < random | cmp random -",
            "cat random | $echo > back && cmp random back",
            "$echo < random > /dev/null",
            "$echo < /dev/null",
        ):
            self.assertEqual((0, b"", b""), self.shell(line), line)

    def test_reader_that_leaves_ends_it_quietly(self) -> None:
        self.random_file(10 * MIB)
        status, output, errors = self.shell("$echo < random | head -c 10 | wc -c")
        self.assertEqual((1, b"10", b""), (status, output.strip(), errors))

    def test_streams_that_cannot_be_used_are_one_line(self) -> None:
        for line, words in (
            ("echo x | $echo > /dev/full", b"cannot write standard output: No space left"),
            ("$echo < /dev/null >&-", b"standard output is closed: expected it open"),
            ("$echo <&-", b"standard input is closed: expected bytes there, or MESSAGE"),
            ("$echo 0> /dev/null", b"cannot read standard input: Bad file descriptor"),
        ):
            status, output, errors = self.shell(line)
            self.assertEqual((1, b""), (status, output), line)
            self.assertRegex(errors, rb"\Anetdemo echo: " + words + rb"[^\n]*\n\Z")

    def test_streams_stay_blocking_for_others(self) -> None:
        process = self.start()
        stdin, stdout = streams(process)
        stdin.write(b"x")
        stdout.read(1)
        self.assertEqual((False, False), (non_blocking(process, 0), non_blocking(process, 1)))

    def test_signal_ends_it_also_while_nobody_reads(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start()
            stdin, stdout = streams(process)
            os.set_blocking(stdin.fileno(), False)
            stdin.write(b"x")
            stdout.read(1)
            while fill(stdin):  # until every buffer on the way and back is full
                pass
            process.send_signal(number)
            self.assertEqual(1, process.wait(PATIENCE))
            _, errors = process.communicate()
            self.assertRegex(
                errors,
                rb"\Anetdemo echo: 127.0.0.1:\d+: interrupted: \d+ of \d+ bytes came back\n\Z",
            )


class TerminalTests(EchoCommandTestCase):
    """``netdemo echo`` on a terminal."""

    def test_each_line_comes_back_and_control_d_ends(self) -> None:
        terminal, inside = pty.openpty()
        self.addCleanup(os.close, terminal)
        process = subprocess.Popen(
            [NETDEMO, "echo", f"--connect={self.address}"],
            stdin=inside,
            stdout=inside,
            stderr=subprocess.PIPE,
        )
        os.close(inside)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        assert process.stderr is not None
        self.assertEqual(
            f"connected to {self.address}; each line comes back, Ctrl-D ends\n".encode(),
            process.stderr.readline(),
        )
        for line in (b"hello", b"again"):
            os.write(terminal, line + b"\n")
            # First the terminal's own echo of what is typed, then the server's.
            expected = line + b"\r\n" + line + b"\r\n"
            seen = b""
            while len(seen) < len(expected):
                seen += os.read(terminal, 1024)
            self.assertEqual(expected, seen)
        self.assertFalse(non_blocking(process, 0))
        os.write(terminal, b"\x04")
        self.assertEqual((0, b""), (process.wait(PATIENCE), process.stderr.read()))

    def test_hint_that_cannot_be_told_is_left_out(self) -> None:
        for redirection in ("2>&-", "2>/dev/full"):
            terminal, inside = pty.openpty()
            process = subprocess.Popen(
                ["bash", "-c", f"exec $echo {redirection}"],
                env={**os.environ, "echo": f"{NETDEMO} echo --connect {self.address}"},
                stdin=inside,
                stdout=subprocess.PIPE,
            )
            os.close(inside)
            os.write(terminal, b"hello\n\x04")
            output, _ = process.communicate(timeout=PATIENCE)
            os.close(terminal)
            self.assertEqual((0, b"hello\n"), (process.returncode, output))


class PingTests(EchoCommandTestCase):
    """``netdemo echo --ping N``"""

    def test_round_trips_and_statistics(self) -> None:
        done = self.echo("--ping=3")
        self.assertEqual((0, b""), (done.returncode, done.stderr))
        time = r"\d+\.\d{3}"
        self.assertRegex(
            done.stdout.decode(),
            rf"\A64 bytes from {self.address}: seq=1 time={time} ms\n"
            rf"64 bytes from {self.address}: seq=2 time={time} ms\n"
            rf"64 bytes from {self.address}: seq=3 time={time} ms\n"
            rf"--- {self.address} echo statistics ---\n3 sent, 3 came back\n"
            rf"round trip min/median/p99/max = {time}/{time}/{time}/{time} ms\n\Z",
        )

    def test_interrupted_it_tells_what_was_done(self) -> None:
        process = self.start("--ping=1000000")
        _, stdout = streams(process)
        while b"seq=10 " not in stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual(1, process.returncode)
        self.assertRegex(output, rb"\n\d+ sent, \d+ came back\nround trip [^\n]+ ms\n\Z")
        self.assertRegex(errors, rb"\Anetdemo echo: [^\n]+: interrupted: [^\n]+ came back\n\Z")

    def test_reader_that_leaves_ends_it_quietly(self) -> None:
        status, output, errors = self.shell("$echo --ping 100000 | head -n 1")
        self.assertEqual((1, b""), (status, errors))
        self.assertIn(b"seq=1 ", output)


def streams(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output of `process`."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def write_all(stream: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered stream, which takes less than it is given."""
    while data:
        data = data[stream.write(data) :]


def read_exactly(stream: IO[bytes], size: int) -> bytes:
    """Read from an unbuffered stream, which gives less than it is asked for."""
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Return the most bytes that `process` has had resident so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024


def non_blocking(process: subprocess.Popen[bytes], descriptor: int) -> bool:
    """Tell whether a descriptor of `process` is non-blocking, for all who share it."""
    information = Path(f"/proc/{process.pid}/fdinfo/{descriptor}").read_text()
    (octal,) = re.findall(r"^flags:\s+(\d+)$", information, re.MULTILINE)
    return bool(int(octal, 8) & os.O_NONBLOCK)


def fill(stream: IO[bytes]) -> bool:
    """Write until nothing is taken for half a second; tell whether it may go on."""
    if not select.select([], [stream], [], 0.5)[1]:
        return False
    stream.write(bytes(4096))
    return True
