"""What the options of the verbs share."""

from __future__ import annotations

import getopt
from itertools import chain
from typing import TYPE_CHECKING

from twisted.python import usage

if TYPE_CHECKING:
    from collections.abc import Sequence


class Options(usage.Options):
    """Options that may also stand after the arguments; ``--`` ends them. None may be empty."""

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
