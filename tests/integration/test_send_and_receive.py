"""``netdemo send`` and ``netdemo receive`` as real processes, on a real RabbitMQ."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess

from tests.command_processes import CommandProcesses
from tests.processes import PATIENCE, PROGRAMS
from tests.rabbitmq import RabbitMQTestCase


class CommandTestCase(CommandProcesses, RabbitMQTestCase):
    """A test with a queue of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.use_broker(self.node.url)


class CommandTests(CommandTestCase):
    """What is sent is received, and what can't be is told."""

    def test_lines_of_standard_input_are_received_in_order(self) -> None:
        sent = self.netdemo("send", self.queue, data=b"a\n\nc\nwithout end")
        self.assertEqual((sent.returncode, sent.stdout, sent.stderr), (0, b"", b""))
        received = self.netdemo("receive", self.queue, "--count", "4")
        self.assertEqual(
            (received.returncode, received.stdout, received.stderr),
            (0, b"a\n\nc\nwithout end\n", b""),
        )

    def test_receive_acknowledges_what_it_printed_and_returns_the_rest(self) -> None:
        self.netdemo("send", self.queue, data=b"a\nb\nc\n")
        self.assertEqual(self.netdemo("receive", self.queue, "--count=1").stdout, b"a\n")
        self.assertEqual(self.netdemo("receive", self.queue, "--count=2").stdout, b"b\nc\n")

    def test_body_may_be_an_argument(self) -> None:
        self.assertEqual(self.netdemo("send", self.queue, "--", "-hello-").returncode, 0)
        self.assertEqual(self.netdemo("receive", self.queue, "--count=1").stdout, b"-hello-\n")

    def test_what_the_broker_refuses_is_one_line_and_status_1(self) -> None:
        for command, words in (
            (("send", "/amq/queue/nowhere", "x"), b"NO_ROUTE (312)"),
            (("send", "/exchange/nowhere/k", "x"), b"NOT_FOUND - no exchange 'nowhere'"),
            (("receive", "/amq/queue/nowhere"), b"NOT_FOUND - no queue 'nowhere'"),
        ):
            done = self.netdemo(*command)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1)

    def test_line_that_is_too_long_is_one_line_and_status_1(self) -> None:
        done = self.netdemo("send", self.queue, data=b"a\n" + b"x" * 100_000)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"line 2 is too long", done.stderr)
        self.assertEqual(self.netdemo("receive", self.queue, "--count=1").stdout, b"a\n")

    def test_receive_into_a_closed_pipe_ends_quietly_and_returns_the_rest(self) -> None:
        self.netdemo("send", self.queue, data=b"a\nb\n")
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.run(
            [PROGRAMS / "netdemo", "receive", self.queue],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
            env=self.environment,
        )
        os.close(writing)
        self.assertEqual((process.returncode, process.stderr), (1, b""))
        received = self.netdemo("receive", self.queue, "--count=2")
        self.assertEqual(set(received.stdout.split()), {b"a", b"b"})

    def test_receive_into_a_full_disk_is_one_line_and_returns_all(self) -> None:
        self.netdemo("send", self.queue, data=b"a\nb\n")
        for _ in range(2):  # the second time they are redelivered
            done = self.shell("$netdemo receive $queue > /dev/full")
            self.assertEqual(
                (done.returncode, done.stderr),
                (1, b"netdemo receive: cannot write standard output: No space left on device\n"),
            )
        received = self.netdemo("receive", self.queue, "--count=2")
        self.assertEqual(set(received.stdout.split()), {b"a", b"b"})

    def test_closed_standard_streams_are_one_line_and_status_1(self) -> None:
        self.netdemo("send", self.queue, "a")
        for line, name in (
            ("$netdemo receive $queue >&-", b"output"),
            ("$netdemo send $queue <&-", b"input"),
            ("$netdemo send $queue 0>/dev/null", b"input"),
        ):
            done = self.shell(line)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, rb"\Anetdemo [^\n]+standard " + name + rb"[^\n]+\n\Z")
        self.assertEqual(self.netdemo("receive", self.queue, "--count=1").stdout, b"a\n")


class InterruptedTests(CommandTestCase):
    """A signal ends the command; its status says whether it had done what it was asked for."""

    def ended(self, process: subprocess.Popen[bytes], number: signal.Signals) -> tuple[int, bytes]:
        """Send a signal; return exit status and stderr."""
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, errors

    def test_send_tells_how_many_lines_were_confirmed(self) -> None:
        process = self.start("send", self.queue)
        assert process.stdin is not None
        process.stdin.write(b"a\nb\n")
        process.stdin.flush()
        received = self.netdemo("receive", self.queue, "--count=2")
        self.assertEqual(received.stdout, b"a\nb\n")
        self.assertEqual(
            self.ended(process, signal.SIGTERM),
            (1, b"netdemo send: interrupted: 2 of the 2 lines read were confirmed\n"),
        )

    def test_receive_with_a_count_tells_how_many_were_printed(self) -> None:
        process = self.start("receive", self.queue, "--count=2")
        self.netdemo("send", self.queue, "a")
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"a\n")
        self.assertEqual(
            self.ended(process, signal.SIGTERM),
            (1, b"netdemo receive: interrupted: 1 of 2 messages were acknowledged\n"),
        )

    def test_receive_without_a_count_ends_well(self) -> None:
        process = self.start("receive", self.queue)
        self.netdemo("send", self.queue, "a")
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"a\n")
        self.assertEqual(self.ended(process, signal.SIGINT), (0, b""))

    def test_second_signal_ends_it_at_once(self) -> None:
        process = self.start("receive", self.queue)
        self.netdemo("send", self.queue, "a")
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"a\n")
        self.addCleanup(self.node.thaw)
        self.node.freeze()  # it would take ten seconds and more to say goodbye
        process.send_signal(signal.SIGINT)
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(1)
        self.assertEqual(self.ended(process, signal.SIGINT), (-signal.SIGINT, b""))

    def test_send_leaves_standard_output_blocking_for_others(self) -> None:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        process = self.start("send", self.queue, stdout=writing)
        assert process.stdin is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        self.netdemo("receive", self.queue, "--count=1")
        self.assertFalse(fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK)
