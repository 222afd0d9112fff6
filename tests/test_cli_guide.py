"""What ``netdemo tour`` says, and how."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.guide import Guide
from netdemo.cli.stdio import StandardOutput
from netdemo.tour import STOPS, Mark, Visit
from tests.test_cli_stdio import pipe

if TYPE_CHECKING:
    from typing import TextIO

ESCAPE = "\x1b["
VISITS = [
    Visit(STOPS[0], Mark.HELD, "all came back"),
    Visit(STOPS[1], Mark.NOT_SHOWN, "not here"),
    Visit(STOPS[2], Mark.FAILED, "amqp://[::1]:1/: [bold]nobody[/bold] " + "there " * 20),
]


class GuideTests(SynchronousTestCase):
    """Text for a pipe, and for terminals of any kind."""

    def setUp(self) -> None:
        self.environment(COLUMNS="80", TERM="xterm", NO_COLOR="", FORCE_COLOR="")

    def environment(self, **variables: str) -> None:
        """Set variables during this test; one that is empty is not set."""
        patched = mock.patch.dict(os.environ, variables)
        patched.start()
        self.addCleanup(patched.stop)
        for name in [name for name, value in variables.items() if not value]:
            del os.environ[name]

    def terminal(self) -> TextIO:
        """Return a terminal to write to."""
        ours, its = pty.openpty()
        self.addCleanup(os.close, ours)
        stream = open(its, "w", encoding="utf-8")  # noqa: SIM115
        self.addCleanup(stream.close)
        return stream

    def said(self, stream: TextIO) -> str:
        """Return what is said in the width and the colours of ``stream``."""
        reading, writing = pipe(self)
        output = StandardOutput(MemoryReactor(), writing.fileno())
        guide = Guide(stream, output)
        for number, visit in enumerate(VISITS, 1):
            self.successResultOf(guide.introduce(number, visit.stop))
            guide.tell("something happens")
            self.successResultOf(guide.mark(visit))
        self.successResultOf(guide.sum_up(VISITS))
        return reading.read(65536).decode()

    def to_a_file(self) -> str:
        """Return what is said to a file."""
        with open(Path(os.devnull), "w", encoding="utf-8") as stream:
            return self.said(stream)

    def test_each_stop_is_introduced_and_marked(self) -> None:
        begin, *_ = self.to_a_file().split("\n\n")
        self.assertEqual(
            begin.splitlines(),
            [
                "1. echo",
                *(f"    {line}" for line in STOPS[0].lines),
                "    - something happens",
                "    held: all came back",
            ],
        )

    def test_table_has_each_with_its_mark(self) -> None:
        table = self.to_a_file().rpartition("\n\n")[2]
        for line in ("echo +│ held +│ all came back", "poetry +│ not shown +│ not here"):
            self.assertRegex(table, f"│ {line} +│")
        self.assertRegex(table, r"│ hello queue │ failed +│ amqp://\[::1\]:1/: \[bold\]nobody\[")

    def test_no_line_is_longer_than_the_terminal(self) -> None:
        for columns in (30, 40, 80, 200):
            self.environment(COLUMNS=str(columns))
            lines = self.to_a_file().splitlines()
            self.assertEqual([], [line for line in lines if len(line) > columns])

    def test_colour_is_for_a_terminal_alone(self) -> None:
        self.environment(FORCE_COLOR="1")
        self.assertNotIn(ESCAPE, self.to_a_file())
        self.assertIn(ESCAPE, self.said(self.terminal()))

    def test_no_colour_where_none_is_wanted(self) -> None:
        self.environment(NO_COLOR="1")
        self.assertNotIn(ESCAPE, self.said(self.terminal()))

    def test_no_colour_where_none_is_known(self) -> None:
        self.environment(TERM="dumb")
        self.assertNotIn(ESCAPE, self.said(self.terminal()))

    def test_table_of_a_terminal_in_ascii(self) -> None:
        with open(os.devnull, "w", encoding="ascii") as stream:
            self.assertRegex(self.said(stream), r"\| echo +\| held +\| all came back +\|")
