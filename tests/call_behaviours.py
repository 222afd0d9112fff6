"""``netdemo call`` and ``netdemo serve`` as real processes, on any broker."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from netdemo.amqp.rpc import MAX_REPLY
from tests.command_processes import CommandProcesses
from tests.processes import PATIENCE

if TYPE_CHECKING:
    import subprocess

MEGABYTE = 1024 * 1024


class Calls(CommandProcesses):
    """What is called is answered; the test case that inherits this has the broker."""

    def serve(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a server."""
        return self.start("serve", self.queue, *arguments)

    def call(self, body: str, *arguments: str) -> tuple[int, bytes, bytes]:
        """Call; return exit status, standard output and standard error."""
        done = self.netdemo("call", self.queue, body, *arguments)
        return done.returncode, done.stdout, done.stderr

    def ended(self, process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
        """Interrupt; return exit status and standard error."""
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual(output, b"")
        return process.returncode, errors

    def test_fibonacci_numbers(self) -> None:
        server = self.serve("--fib")
        self.assertEqual(self.call("30"), (0, b"832040\n", b""))
        expected = b"bad request 'x': expected a whole number from 0 to 10000"
        self.assertEqual(self.call("x"), (1, b"", b"netdemo call: " + expected + b"\n"))
        self.assertEqual(self.ended(server), (0, b""))

    def test_command_is_a_server(self) -> None:
        server = self.serve("--exec", "tr a-z A-Z", "--parallel=2")
        self.assertEqual(self.call("hello"), (0, b"HELLO\n", b""))
        self.assertEqual(self.ended(server), (0, b""))

    def test_reply_of_a_megabyte_arrives(self) -> None:
        self.serve("--exec", f"head -c {MEGABYTE} /dev/zero")
        self.assertEqual(self.call(""), (0, bytes(MEGABYTE) + b"\n", b""))

    def test_command_that_fails_is_an_error_with_its_last_words(self) -> None:
        server = self.serve("--exec", "echo lost; echo why >&2; exit 3")
        expected = b"exit status 3: why\n"
        self.assertEqual(self.call("x"), (1, b"", b"netdemo call: " + expected))
        self.assertEqual(self.ended(server), (0, b"netdemo serve: " + expected))

    def test_command_that_never_stops_printing_is_an_error(self) -> None:
        server = self.serve("--exec", "yes")
        expected = b"more than %d bytes of output\n" % MAX_REPLY
        self.assertEqual(self.call("x"), (1, b"", b"netdemo call: " + expected))
        self.assertEqual(self.ended(server), (0, b"netdemo serve: " + expected))

    def test_command_that_can_not_be_started_ends_it_and_another_server_gets_the_call(self) -> None:
        calling = self.start("call", self.queue, "hello")
        server = self.serve("--exec", "/netdemo/no/such/command")
        _, errors = server.communicate(timeout=PATIENCE)
        self.assertEqual(server.returncode, 1)
        self.assertRegex(errors, rb"\Anetdemo serve: cannot run .*: exit status 127: .*\n\Z")
        self.serve("--exec", "cat")
        self.assertEqual(calling.communicate(timeout=PATIENCE), (b"hello\n", b""))

    def test_no_reply_in_time_is_one_line_and_status_1(self) -> None:
        name = self.queue.rpartition("/")[2].encode()
        self.assertEqual(
            self.call("x", "--timeout=0.2"),
            (1, b"", b"netdemo call: no reply from '" + name + b"' within 0.2 s\n"),
        )

    def test_queue_that_is_not_there_is_one_line_and_status_1(self) -> None:
        done = self.netdemo("call", "/amq/queue/nowhere", "x")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertEqual(done.stderr, b"netdemo call: NO_ROUTE (312)\n")
