"""What is told on standard error while much is under way: lines, and on a terminal its progress."""

from __future__ import annotations

import math
import select
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    FileSizeColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.text import Text
from twisted.internet.task import LoopingCall

from netdemo.cli.stdio import silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REFRESH: Final = 0.1
"""Seconds between two looks at what has come."""


class BarsConsole(Console):
    """A console that says what can't be written, where Rich's would end the process."""

    def on_broken_pipe(self) -> None:
        """Raise the error that it is called for."""
        raise


class RateColumn(ProgressColumn):
    """How many a second there have been lately, or, at the end, altogether."""

    def render(self, task: Task) -> Text:
        rate = task.speed
        if task.finished and task.elapsed:
            rate = task.completed / task.elapsed
        return Text("" if rate is None else f"{rate:,.0f}/s")


def downloading() -> list[ProgressColumn]:
    """Return the columns for what is counted in bytes."""
    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        FileSizeColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    ]


def counting() -> list[ProgressColumn]:
    """Return the columns for what is counted one by one."""
    return [
        TextColumn("{task.completed:,.0f} {task.description}", markup=False),
        RateColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    ]


class Bars:
    """A bar for each source, shown while in a ``with`` block, if ``stream`` is a terminal.

    Without ``columns`` they are for downloads.

    It is refreshed by the reactor's clock: Rich would use a thread, and redirect the streams.
    What can't be written is lost and changes nothing else; no bar is drawn after that.
    """

    def __init__(
        self,
        stream: TextIO | None,
        clock: Any,
        columns: Sequence[ProgressColumn] | None = None,
    ) -> None:
        self._stream = stream
        self._console = BarsConsole(
            file=stream, stderr=True, markup=False, emoji=False, highlight=False
        )
        self._progress = Progress(*(columns or downloading()))
        self._live: Live | None = None
        self._enabled = stream is not None and stream.isatty()
        self._received: dict[TaskID, Callable[[], int]] = {}
        self._refreshing = LoopingCall(self._refresh)
        self._refreshing.clock = clock

    def __enter__(self) -> Self:
        self._draw(self._show)
        if self._enabled:
            self._refreshing.start(REFRESH)
        return self

    def __exit__(self, *_: object) -> None:
        if self._refreshing.running:
            self._refreshing.stop()
        self._refresh()
        self._draw(self._hide)

    def add(self, source: str, received: Callable[[], int]) -> TaskID:
        """Add a bar for ``source``; ``received`` returns how much has come of it."""
        bar = self._progress.add_task(source, total=None, state="")
        self._received[bar] = received
        return bar

    def done(self, bar: TaskID) -> None:
        """Show that all has come."""
        received = self._received.pop(bar)()
        self._progress.update(bar, completed=received, total=received, state="done")

    def failed(self, bar: TaskID) -> None:
        """Show that no more will come."""
        received = self._received.pop(bar)()
        # The bar is empty, however much there is.
        self._progress.update(bar, completed=received, total=math.inf, state="failed")

    def print(self, line: str) -> None:
        """Print a line above the bars, or just a line when there are none."""
        with self.hidden():
            self._write(f"{line}\n")

    def end_line(self) -> None:
        """Go to a new line, if there are bars to go there."""
        if self._enabled:
            self._write("\n")

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bars off the terminal while others write there."""
        if self._live is None:
            yield
            return
        self._draw(partial(self._hide, transient=True))
        try:
            yield
        finally:
            self._draw(self._show)

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._silence()

    def _draw(self, draw: Callable[[], None]) -> None:
        """Draw, and never again once the terminal can't be written: it has gone, perhaps."""
        if not self._enabled:
            return
        try:
            draw()
        except (OSError, ValueError):
            self._silence()

    def _silence(self) -> None:
        self._enabled = False
        with suppress(OSError, ValueError):  # it is in memory
            silence(self._console.file.fileno())

    def _show(self) -> None:
        # A new one each time: a used one would go up over the lines of others to where it was.
        self._live = Live(
            self._progress,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def _hide(self, *, transient: bool = False) -> None:
        if self._live is not None:
            self._live.transient = transient
            self._live.stop()
            self._live = None

    def _refresh(self) -> None:
        for bar, received in self._received.items():
            self._progress.update(bar, completed=received())
        self._draw(self._redraw)

    def _redraw(self) -> None:
        # A terminal that is stopped, with Ctrl-S for example, would stop this process too.
        has_room = select.select([], [self._console.file], [], 0)[1]
        if self._live is not None and has_room:
            self._live.refresh()
