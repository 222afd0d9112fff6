"""What the options of the verbs share."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.echo import EchoOptions
from netdemo.cli.options import Options
from netdemo.cli.poetry import PoetryOptions


class SomeOptions(Options):
    """A flag and a parameter, each long and short."""

    optFlags: ClassVar[list[Any]] = [["quiet", "q", "Say nothing"]]
    optParameters: ClassVar[list[Any]] = [["some_place", "p", None, "Where"]]

    def parseArgs(self, *arguments: str) -> None:
        self["arguments"] = arguments


class EmptyTests(SynchronousTestCase):
    """Words that are empty."""

    def refusal(self, options: usage.Options, *arguments: str) -> str:
        """Return what is said of a mistake."""
        return str(self.assertRaises(usage.UsageError, options.parseOptions, arguments))

    def test_empty_value_is_refused_by_name_and_takes_no_other_word(self) -> None:
        for name in ("--some-place", "-p"):
            expected = f"bad {name} '': expected a value"
            self.assertEqual(expected, self.refusal(SomeOptions(), name, "", "word"))
        self.assertIn("bad --some-place ''", self.refusal(SomeOptions(), "word", "--some="))

    def test_every_parameter_of_a_command_is_refused_empty(self) -> None:
        self.assertIn("bad --output ''", self.refusal(PoetryOptions(), "--output", "", "9000"))
        self.assertIn("bad --connect ''", self.refusal(EchoOptions(), "--connect", "", "hello"))

    def test_flag_has_no_value_and_an_argument_may_be_empty(self) -> None:
        for flag in ("--quiet", "-q"):
            options = SomeOptions()
            options.parseOptions(["", flag, "-p", "here", "word"])
            self.assertEqual((1, "here"), (options["quiet"], options["some_place"]))
            self.assertEqual(("", "word"), options["arguments"])
