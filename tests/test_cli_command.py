"""The command ``netdemo``: what it imports, and when."""

from __future__ import annotations

import signal
import subprocess
import sys
from unittest import mock

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.command import Options, stop_at_signals

PATIENCE = 60

INTERRUPTED = """
import os, signal, sys
module = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    @staticmethod
    def find_spec(name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
from netdemo.cli.main import main
main()
"""
"""``netdemo``, interrupted when the module that the first argument names is imported."""

IMPORTED = """
import sys
from netdemo.cli.command import Options
Options().parseOptions(["echo", "hello"])
print([name for name in ("pika", "rich") if name in sys.modules])
"""


class VerbsTests(SynchronousTestCase):
    """Each verb is known, and imported when it is chosen."""

    def test_help_tells_of_each(self) -> None:
        for verb in (name for name, *_ in Options.subCommands):
            self.assertRegex(str(Options()), rf"\n    {verb} +[A-Z]")

    def test_each_can_be_chosen(self) -> None:
        lines = ("echo", "poetry 9000", "send /queue/a", "receive /queue/a", "passwd ann", "tour")
        for line in lines:
            words = line.split()
            options = Options()
            options.parseOptions(words)
            self.assertEqual(words[0], options.subCommand)

    def test_none_is_refused(self) -> None:
        error = self.assertRaises(usage.UsageError, Options().parseOptions, [])
        verbs = ", ".join(name for name, *_ in Options.subCommands)
        self.assertEqual(f"no command: expected one of {verbs}", str(error))

    def test_one_does_not_import_what_others_need(self) -> None:
        answer = subprocess.check_output([sys.executable, "-c", IMPORTED], timeout=PATIENCE)
        self.assertEqual(b"[]\n", answer)


class StartTests(SynchronousTestCase):
    """Before the command runs."""

    def test_interrupted_it_ends_quietly(self) -> None:
        for module in ("twisted.internet.defer", "netdemo.cli.echo"):
            done = subprocess.run(
                [sys.executable, "-c", INTERRUPTED, module, "echo", "hello"],
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
            self.assertEqual(
                (-signal.SIGINT, b"", b""), (done.returncode, done.stdout, done.stderr)
            )


class SignalsTests(SynchronousTestCase):
    """What asks for the end."""

    def test_first_signal_lets_a_second_end_the_process_whatever_the_reactor_does(self) -> None:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, signal.SIG_DFL)
        reactor = mock.Mock()
        stop_at_signals(reactor)
        signal.raise_signal(signal.SIGHUP)
        reactor.callFromThread.assert_called_once_with(reactor.stop)
        self.assertEqual([signal.SIG_DFL] * 3, [signal.getsignal(each) for each in numbers])
