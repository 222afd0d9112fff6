"""``netdemo send`` as a real process, on our own broker: what it sends, and what it shows."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from tests.broker_process import BrokerProcessTestCase
from tests.command_processes import CommandProcesses, Terminal
from tests.folders import temporary_folder
from tests.processes import PATIENCE

MANY = 100_000


class SendTestCase(CommandProcesses, BrokerProcessTestCase):
    """A test with a broker and a queue."""

    def setUp(self) -> None:
        super().setUp()
        self.use_broker(self.broker.url)


class MessageTests(SendTestCase):
    """What is sent is what the options say."""

    def test_everything_of_a_message_arrives(self) -> None:
        options = ("--header=a=é", "--property=priority=3", "--property=message-id=m")
        sent = self.netdemo("send", self.queue, "body", *options, "--transient")
        self.assertEqual((sent.returncode, sent.stdout, sent.stderr), (0, b"", b""))
        received = self.netdemo("receive", self.queue, "--count=1", "--format=json")
        self.assertEqual(
            json.loads(received.stdout),
            {
                "exchange": "",
                "routing_key": self.queue.rpartition("/")[2],
                "redelivered": False,
                "properties": {"delivery_mode": 1, "priority": 3, "message_id": "m"},
                "headers": {"a": "é"},
                "body": "body",
            },
        )

    def test_file_or_pipe_is_one_message(self) -> None:
        path = temporary_folder(self) / "file"
        path.write_bytes(b"a\nb\n")
        self.assertEqual(self.netdemo("send", self.queue, f"--file={path}").returncode, 0)
        self.assertEqual(self.shell("echo c | $netdemo send $queue --file -").returncode, 0)
        received = self.netdemo("receive", self.queue, "--count=2")
        self.assertEqual(received.stdout, b"a\nb\n\nc\n\n")

    def test_file_that_is_not_there_is_one_line_and_status_1(self) -> None:
        done = self.netdemo("send", self.queue, "--file=/netdemo/none")
        expected = b"cannot read --file '/netdemo/none': No such file or directory"
        self.assertEqual((done.returncode, done.stderr), (1, b"netdemo send: " + expected + b"\n"))

    def test_file_that_never_comes_can_be_interrupted(self) -> None:
        fifo = temporary_folder(self) / "fifo"
        os.mkfifo(fifo)
        process = self.start("send", self.queue, f"--file={fifo}")
        writing = os.open(fifo, os.O_WRONLY)  # fires when the command has it open
        self.addCleanup(os.close, writing)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, errors), (1, b"netdemo send: interrupted\n"))

    def test_message_that_no_queue_takes_may_be_dropped(self) -> None:
        self.assertEqual(self.netdemo("send", "/amq/queue/nowhere", "x").returncode, 1)
        done = self.netdemo("send", "/amq/queue/nowhere", "x", "--no-mandatory")
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_many_lines_arrive_in_order(self) -> None:
        lines = b"".join(b"%d\n" % number for number in range(MANY))
        sent = self.netdemo("send", self.queue, data=lines)
        self.assertEqual((sent.returncode, sent.stderr), (0, b""))
        received = self.netdemo("receive", self.queue, f"--count={MANY}")
        self.assertTrue(received.stdout == lines)

    def test_standard_input_stays_blocking_for_others(self) -> None:
        line = "(echo a; sleep 0.1; echo b) | ($netdemo send $queue; python3 -c '"
        line += "import os; print(os.get_blocking(0))')"
        self.assertEqual(self.shell(line).stdout, b"True\n")


class TerminalTests(SendTestCase):
    """How many were confirmed, on a terminal."""

    def shown(self, *arguments: str, typed: bytes | None = None) -> bytes:
        """Send two lines with standard error on a terminal, where they may be typed; return it."""
        terminal = Terminal(self)
        stdin = subprocess.PIPE if typed is None else terminal.its
        process = self.start("send", self.queue, *arguments, stdin=stdin, stderr=terminal.its)
        if typed is not None:
            terminal.type(typed)
        elif process.stdin is not None:
            process.stdin.write(b"a\nb\n")
            process.stdin.close()
            process.stdin = None
        shown = terminal.read_all()
        self.assertEqual(process.wait(PATIENCE), 0)
        return shown

    def test_count_and_rate_are_shown(self) -> None:
        self.assertRegex(self.shown(), rb"2 confirmed.* [0-9,]+/s.* done")

    def test_colour_is_left_out_where_it_is_not_wanted(self) -> None:
        self.environment["TERM"] = "xterm-256color"
        self.environment["NO_COLOR"] = "1"
        shown = self.shown()
        self.assertIn(b"2 confirmed", shown)
        self.assertNotRegex(shown, rb"\x1b\[[0-9;]*[34][0-9]")

    def test_nothing_is_shown_among_what_is_typed(self) -> None:
        self.assertNotIn(b"confirmed", self.shown(typed=b"a\nb\n\x04"))

    def test_nothing_is_shown_for_one_message(self) -> None:
        self.assertEqual(self.shown("body"), b"")
