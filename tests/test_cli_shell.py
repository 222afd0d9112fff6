"""Lines of shell, on processes that do what the test says."""

from __future__ import annotations

import errno
import os
import signal
from unittest import mock

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.shell import MAX_ERRORS, Ended, OutputTooLong, ShellCommand
from netdemo.errors import NetdemoError
from tests.scripted_processes import ScriptedProcesses


class ShellTests(SynchronousTestCase):
    """What is run, and what is told of its end."""

    def setUp(self) -> None:
        self.processes = ScriptedProcesses()

    def command(self, max_output: int | None = None) -> ShellCommand:
        """Return a command."""
        return ShellCommand("a | b", self.processes, max_output)

    def test_shell_gets_line_input_and_variables(self) -> None:
        self.command().run(b"body", {b"NAME": b"value"})
        process = self.processes.last
        self.assertEqual(("/bin/sh", "-c", "a | b"), process.arguments)
        self.assertEqual(b"body", process.stdin)
        self.assertTrue(process.stdin_closed)
        self.assertEqual(b"value", process.env[b"NAME"])
        self.assertEqual(os.environb[b"PATH"], process.env[b"PATH"])

    def test_its_output_is_ours_unless_it_is_wanted(self) -> None:
        self.command().run(b"", {})
        self.assertEqual({0: "w", 1: 1, 2: 2}, self.processes.last.streams)

    def test_its_errors_go_nowhere_where_we_have_no_standard_error(self) -> None:
        with mock.patch("sys.stderr", None):
            self.command().run(b"", {})
        nothing = self.processes.last.streams[2]
        assert isinstance(nothing, int)
        self.assertGreater(nothing, 2)
        self.assertRaises(OSError, os.fstat, nothing)  # ours is closed again

    def test_status_output_and_last_words_are_told(self) -> None:
        running = self.command(100).run(b"", {})
        process = self.processes.last
        process.write_output(b"out")
        process.write_errors(b"first\nlast \n\n")
        process.end(3)
        ended = self.successResultOf(running)
        self.assertEqual(Ended(3, b"out", "last"), ended)
        self.assertEqual("exit status 3: last", str(ended))

    def test_signal_is_told_by_its_name(self) -> None:
        running = self.command().run(b"", {})
        self.processes.last.end(-signal.SIGKILL)
        ended = self.successResultOf(running)
        self.assertEqual((-9, "SIGKILL"), (ended.status, str(ended)))
        self.assertEqual("signal 40", str(Ended(-40)))

    def test_statuses_for_what_can_not_be_started(self) -> None:
        self.assertEqual(
            [False, True, True, False], [Ended(n).not_started for n in (125, 126, 127, -127)]
        )

    def test_statuses_for_what_a_signal_has_ended(self) -> None:
        self.assertEqual(
            [True, False, True, True, False], [Ended(n).by_signal for n in (-9, 128, 129, 137, 255)]
        )

    def test_much_on_standard_error_is_kept_in_bounded_memory(self) -> None:
        running = self.command(100).run(b"", {})
        process = self.processes.last
        for _ in range(10):
            process.write_errors(b"x" * MAX_ERRORS)
        process.end(1)
        self.assertEqual("x" * MAX_ERRORS, self.successResultOf(running).last_words)

    def test_too_much_output_ends_it(self) -> None:
        command = self.command(10)
        running = command.run(b"", {})
        process = self.processes.last
        process.write_output(b"x" * 10)
        self.assertEqual([], process.signals)
        process.write_output(b"x")
        self.assertEqual([signal.SIGKILL], process.signals)
        error = self.failureResultOf(running, OutputTooLong).value
        self.assertEqual("more than 10 bytes of output", str(error))
        process.write_output(b"x")
        process.end(-signal.SIGKILL)
        self.assertEqual(0, command.running)

    def test_stopping_it_ends_all_that_run(self) -> None:
        command = self.command()
        first, second = command.run(b"", {}), command.run(b"", {})
        self.assertEqual(2, command.running)
        command.stop()
        for running in (first, second):
            self.failureResultOf(running, CancelledError)
        self.assertEqual([signal.SIGTERM], self.processes.last.signals)
        self.processes.last.end(-signal.SIGTERM)

    def test_process_that_can_not_be_had_is_told(self) -> None:
        self.processes.error = OSError(errno.EAGAIN, "Resource temporarily unavailable")
        command = self.command()
        error = self.failureResultOf(command.run(b"", {}), NetdemoError).value
        self.assertEqual("cannot run 'a | b': Resource temporarily unavailable", str(error))
        self.assertEqual(0, command.running)
