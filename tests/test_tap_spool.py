"""The options of ``twistd amqp-bridge`` for a spool."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from netdemo.tap.bridge import Options


class SpoolOptionsTests(SynchronousTestCase):
    """What they say reaches the service."""

    def parse(self, *arguments: str) -> Options:
        """Return parsed options."""
        options = Options()
        options.parseOptions(arguments)
        return options

    def test_path_is_absolute(self) -> None:
        self.assertEqual(Path("here").absolute(), self.parse("--spool", "here")["spool"])

    def test_empty_path_is_refused(self) -> None:
        self.assertRaises(SystemExit, self.parse, "--spool", "")

    def test_limit_is_a_positive_number(self) -> None:
        self.assertEqual(5, self.parse("--spool-limit", "5")["spool-limit"])
        self.assertRaises(SystemExit, self.parse, "--spool-limit", "0")
