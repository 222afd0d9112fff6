"""What the options of the verbs share."""

from __future__ import annotations

import getopt
import sys
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING

from twisted.python import usage

if TYPE_CHECKING:
    from collections.abc import Sequence


class VersionOptions(usage.Options):
    """Options that tell the version of netdemo, where Twisted's would tell Twisted's."""

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"netdemo {version('netdemo')}")
        sys.exit(0)


class Options(VersionOptions):
    """Options that may also stand after the arguments; ``--`` ends them. None may be empty.

    A shell completes a value for which the class has a completer in ``compData``, and no other.
    """

    synopsis: str
    compData: usage.Completions

    def __init_subclass__(cls) -> None:
        cls.compData = vars(cls).get("compData") or usage.Completions()
        names = [parameter[0] for parameter in vars(cls).get("optParameters", ())]
        others = {name: usage.Completer() for name in names}  # zsh would take them for files
        cls.compData.optActions = {**others, **cls.compData.optActions}

    def getSynopsis(self) -> str:
        """Return how the command is used; Twisted puts how netdemo itself is used before it."""
        command = "" if self.parent is None else self.parent.subCommand
        return f"Usage: netdemo {command} {self.synopsis}"

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        names = [name.replace("_", "-") for name in self.longOpt]
        try:
            named, arguments = getopt.gnu_getopt(list(options or ()), self.shortOpt, names)
        except getopt.GetoptError as error:
            raise usage.UsageError(str(error)) from None
        for name, value in named:
            if not value and (f"{name[2:]}=" in names or f"{name[1:]}:" in self.shortOpt):
                raise usage.UsageError(f"bad {name} '': expected a value")
        given = [part for part in chain.from_iterable(named) if part]  # a flag's value is empty
        super().parseOptions([*given, "--", *arguments])
