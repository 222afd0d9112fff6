"""What the options of the verbs share."""

from __future__ import annotations

import getopt
from itertools import chain
from typing import TYPE_CHECKING

from twisted.python import usage

if TYPE_CHECKING:
    from collections.abc import Sequence


class Options(usage.Options):
    """Options that may also stand after the arguments; ``--`` ends them."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            named, arguments = getopt.gnu_getopt(
                list(options or ()),
                self.shortOpt,
                [name.replace("_", "-") for name in self.longOpt],
            )
        except getopt.GetoptError as error:
            raise usage.UsageError(str(error)) from None
        given = [part for part in chain.from_iterable(named) if part]
        super().parseOptions([*given, "--", *arguments])
