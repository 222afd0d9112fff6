"""What ``netdemo tour`` says on standard output: lines, and a table at the end."""

from __future__ import annotations

import os
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from netdemo.tour import Mark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from twisted.internet.defer import Deferred

    from netdemo.cli.stdio import StandardOutput
    from netdemo.tour import Stop, Visit

INDENT: Final = 4
MIN_WIDTH: Final = 20
"""Columns of a line of text on a terminal that is narrower."""

STYLES: Final = {Mark.HELD: "green", Mark.NOT_SHOWN: "yellow", Mark.FAILED: "bold red"}


class Guide:
    """Writes to ``output``, in the width of ``stream`` and, if that is a terminal, in colour.

    What it returns fires when the text is written, and fails as `StandardOutput.flush` does.
    """

    def __init__(self, stream: TextIO, output: StandardOutput) -> None:
        colour = stream.isatty() and not os.environ.get("NO_COLOR")
        self._console = Console(
            file=stream,
            color_system="auto" if colour else None,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._output = output

    def introduce(self, number: int, stop: Stop) -> Deferred[None]:
        """Say which stop comes, and what it shows."""
        self._print(Text(f"{number}. {stop.name}", "bold"))
        for line in stop.lines:
            self._paragraph(line)
        return self._output.flush()

    def tell(self, line: str) -> None:
        """Say what happens."""
        self._paragraph(f"- {line}", "dim")

    def mark(self, visit: Visit) -> Deferred[None]:
        """Say what came of a stop."""
        self._paragraph(f"{visit.mark.value}: {visit.seen}", STYLES[visit.mark])
        self._print("")
        return self._output.flush()

    def sum_up(self, visits: Sequence[Visit]) -> Deferred[None]:
        """Show all of them in a table."""
        table = Table("stop", "", "what was seen")
        for visit in visits:
            table.add_row(
                visit.stop.name, Text(visit.mark.value, STYLES[visit.mark]), Text(visit.seen)
            )
        self._print(table)
        return self._output.flush()

    def _paragraph(self, text: str, style: str = "") -> None:
        for line in wrap(text, max(self._console.width - INDENT, MIN_WIDTH)):
            self._print(Text(" " * INDENT + line, style))

    def _print(self, what: Any) -> None:
        with self._console.capture() as captured:
            self._console.print(what, soft_wrap=isinstance(what, Text))
        self._output.write(captured.get().encode(self._console.encoding, "replace"))
