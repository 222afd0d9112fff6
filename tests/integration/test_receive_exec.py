"""``netdemo receive --exec``, with real commands and processes, on our own broker."""

from __future__ import annotations

import os
import signal
import sys
import time

from tests.broker_process import BrokerProcessTestCase
from tests.command_processes import CommandProcesses, Terminal
from tests.folders import temporary_folder
from tests.processes import PATIENCE

MEGABYTE = 1024 * 1024

PATIENT = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
os.write(1, sys.stdin.buffer.read() + b"\\n")
signal.sigwait({signal.SIGINT})
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
exec(sys.argv[1])
"""
"""A program that prints its input and then waits for SIGINT. A shell can miss it between two
commands, when it is about to start the second.
"""


class ExecTestCase(CommandProcesses, BrokerProcessTestCase):
    """A test with a broker, a queue and a folder."""

    def setUp(self) -> None:
        super().setUp()
        self.use_broker(self.broker.url)
        self.folder = temporary_folder(self)

    def send(self, *lines: str) -> None:
        """Publish a message for each line."""
        done = self.netdemo("send", self.queue, data="".join(f"{x}\n" for x in lines).encode())
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class ExecTests(ExecTestCase):
    """What a command does decides."""

    def test_body_is_its_input_and_its_output_ours(self) -> None:
        self.send("a", "b")
        done = self.netdemo("receive", self.queue, "--count=2", "--exec", "tr a-z A-Z; echo")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"A\nB\n", b""))

    def test_message_of_a_megabyte_goes_through(self) -> None:
        body = os.urandom(MEGABYTE)
        (self.folder / "body").write_bytes(body)
        sent = self.netdemo("send", self.queue, f"--file={self.folder / 'body'}")
        self.assertEqual(sent.returncode, 0)
        done = self.netdemo("receive", self.queue, "--count=1", "--exec", "cat")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertTrue(done.stdout == body)

    def test_input_may_be_left_unread(self) -> None:
        self.netdemo("send", self.queue, "--file=-", data=bytes(MEGABYTE))
        done = self.netdemo("receive", self.queue, "--count=1", "--exec", "exec <&-; echo done")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"done\n", b""))

    def test_properties_are_in_its_environment(self) -> None:
        self.netdemo("send", self.queue, "x", "--property=type=t", "--property=message-id=m")
        line = 'echo "$NETDEMO_TYPE $NETDEMO_MESSAGE_ID $NETDEMO_REDELIVERED [$NETDEMO_REPLY_TO]"'
        done = self.netdemo("receive", self.queue, "--count=1", "--exec", line)
        self.assertEqual((done.returncode, done.stdout), (0, b"t m 0 []\n"))

    def test_properties_are_utf_8_whatever_the_locale(self) -> None:
        self.send("x")
        self.netdemo("send", self.queue, "y", "--property=message-id=é")
        self.environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        line = 'cat; echo " $NETDEMO_MESSAGE_ID"'
        done = self.netdemo("receive", self.queue, "--count=2", "--exec", line)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertTrue(done.stdout.endswith("\ny é\n".encode()), done.stdout)

    def test_status_75_returns_and_others_reject(self) -> None:
        self.send("a")
        marker = self.folder / "been here"
        line = f"test -e '{marker}' || {{ touch '{marker}'; exit 75; }}; cat; exit 3"
        done = self.netdemo("receive", self.queue, "--count=1", "--exec", line)
        self.assertEqual((done.returncode, done.stdout), (1, b"a"))
        first, last = done.stderr.splitlines()
        self.assertRegex(first, rb"message '.*' is rejected: exit status 3\Z")
        self.assertEqual(last, b"netdemo receive: 1 of 1 messages were rejected")
        self.send("next")
        self.assertEqual(self.received(1), [b"next"])

    def test_command_that_can_not_be_started_ends_it_and_the_message_goes_back(self) -> None:
        self.send("a")
        done = self.netdemo("receive", self.queue, "--exec", "netdemo-no-such-command 2>&-")
        self.assertEqual(
            (done.returncode, done.stderr),
            (
                1,
                b"netdemo receive: cannot run 'netdemo-no-such-command 2>&-': exit status 127\n",
            ),
        )
        self.assertEqual(self.received(1), [b"a"])

    def test_line_that_the_shell_does_not_understand_touches_no_message(self) -> None:
        self.send("a")
        done = self.netdemo("receive", self.queue, "--exec", "if then")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rb"\Anetdemo receive: bad command 'if then': [^\n]+\n\Z")
        self.assertEqual(self.received(1), [b"a"])

    def test_as_many_run_at_once_as_may(self) -> None:
        self.send("a", "b", "c")
        met = self.folder / "met"
        os.mkfifo(met)
        # Each of two waits for the other; one after another they would wait for ever.
        line = f"read body; case $body in a) echo a > '{met}';; b) cat '{met}';; esac"
        done = self.netdemo("receive", self.queue, "--count=3", "--parallel=2", "--exec", line)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"a\n", b""))

    def test_closed_pipe_ends_it_quietly_and_the_message_goes_back(self) -> None:
        self.send("a", "b")
        reading, writing = os.pipe()
        os.close(reading)
        process = self.start("receive", self.queue, "--exec", "cat", stdout=writing)
        os.close(writing)
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, errors), (1, b""))
        self.assertEqual(self.received(2), [b"a", b"b"])


class InterruptedTests(ExecTestCase):
    """Nothing is lost when it is interrupted."""

    def test_what_runs_is_waited_for_and_acknowledged(self) -> None:
        self.send("a", "b")
        gate = self.folder / "gate"
        os.mkfifo(gate)
        line = f"cat; echo; read go < '{gate}'"
        process = self.start("receive", self.queue, "--exec", line)
        assert process.stdout is not None
        assert process.stderr is not None
        self.assertEqual(process.stdout.readline(), b"a\n")
        process.send_signal(signal.SIGTERM)
        self.assertIn(b"waiting up to 10 s", process.stderr.readline())
        gate.write_text("go\n")
        output, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, output, errors), (0, b"", b""))
        self.assertEqual(self.received(1), [b"b"])

    def test_interrupt_from_a_terminal_ends_the_command_and_its_message_goes_back(self) -> None:
        # The command may hear of it before us, which ends it with a status that would reject.
        (self.folder / "patient.py").write_text(PATIENT)
        for end in ("sys.exit(1)", "signal.raise_signal(signal.SIGINT)"):
            line = f"exec '{sys.executable}' '{self.folder / 'patient.py'}' '{end}'"
            self.send("a", "b")
            terminal = Terminal(self)
            process = self.start(
                "receive", self.queue, "--exec", line, "--parallel=2", preexec_fn=terminal.take
            )
            terminal.wait_for(b"a\r\n")
            terminal.wait_for(b"b\r\n")
            began = time.monotonic()
            terminal.type(b"\x03")
            self.assertEqual(process.wait(PATIENCE), 0)
            self.assertLess(time.monotonic() - began, 9, "it has waited for what was interrupted")
            self.assertNotIn(b"rejected", terminal.read_all())
            self.assertEqual(self.received(2), [b"a", b"b"])

    def test_second_signal_ends_it_at_once_and_the_message_goes_back(self) -> None:
        self.send("a")
        process = self.start("receive", self.queue, "--exec", "cat; echo; exec sleep 5")
        assert process.stdout is not None
        assert process.stderr is not None
        self.assertEqual(process.stdout.readline(), b"a\n")
        process.send_signal(signal.SIGTERM)
        self.assertIn(b"waiting up to 10 s", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), -signal.SIGTERM)
        self.assertEqual(self.received(1), [b"a"])

    def test_broker_that_is_killed_is_told_and_come_back_to(self) -> None:
        process = self.start("receive", self.queue, "--exec", "cat; echo", "--count=2")
        self.send("a")
        assert process.stdout is not None
        assert process.stderr is not None
        self.assertEqual(process.stdout.readline(), b"a\n")
        self.broker.kill()
        self.assertIn(b"next attempt in", process.stderr.readline())
        self.broker.start()
        self.send("b")
        self.assertEqual(process.wait(PATIENCE), 0)
