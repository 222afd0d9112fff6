"""The options of ``netdemo passwd``."""

from __future__ import annotations

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.passwd import PasswdOptions


class OptionsTests(SynchronousTestCase):
    """What may be asked for."""

    def vhosts(self, *arguments: str) -> dict[str, tuple[str, ...]]:
        """Return the virtual hosts, and the patterns there, of the line for these options."""
        options = PasswdOptions()
        options.parseOptions(["ann", *arguments])
        return {name: each.patterns for name, each in options._vhosts().items()}

    def refusal(self, *arguments: str) -> str:
        """Return what is said of a mistake."""
        error = self.assertRaises(usage.UsageError, PasswdOptions().parseOptions, arguments)
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_line_has_no_vhost_by_default(self) -> None:
        self.assertEqual({}, self.vhosts())

    def test_vhost_comes_with_all_permissions(self) -> None:
        self.assertEqual({"/a": (".*", ".*", ".*")}, self.vhosts("--vhost=/a"))

    def test_patterns_are_for_the_default_vhost(self) -> None:
        self.assertEqual({"/": ("^c", ".*", ".*")}, self.vhosts("--configure=^c"))

    def test_each_pattern_has_its_place(self) -> None:
        options = ("--read=^r", "--write=^w", "--vhost=/a", "--configure=^$")
        self.assertEqual({"/a": ("^$", "^w", "^r")}, self.vhosts(*options))

    def test_malformed_pattern_is_refused(self) -> None:
        for name in ("configure", "write", "read"):
            text = self.refusal("ann", f"--{name}=a(")
            self.assertIn(f"bad --{name} 'a(': expected a regular expression: ", text)

    def test_name_is_needed(self) -> None:
        self.assertEqual("bad NAME '': expected a name", self.refusal(""))
        self.assertEqual("Wrong number of arguments.", self.refusal())
