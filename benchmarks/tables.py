"""Showing what was measured."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.comparison import is_reached

if TYPE_CHECKING:
    from benchmarks.comparison import Row, Work


def table_of(work: Work, rows: list[Row]) -> Table:
    """Return the figures of one work side by side."""
    reference = next((row for row in rows if row.peer == work.reference), None)
    busy = any(reading.load_busy for row in rows for reading in row.readings)
    memory = any(row.peak_memory for row in rows)
    table = Table(title=work.title, title_justify="left")
    table.add_column("server")
    for heading in (work.unit, "lowest - highest", f"x {work.reference}"):
        table.add_column(heading, justify="right")
    if busy:
        table.add_column("busy server / load", justify="right")
    if memory:
        table.add_column("peak MiB", justify="right")
    for row in rows:
        cells = [
            row.peer,
            *_figures(row),
            "-" if reference is None else f"{row.ratio(reference):.2f}",
        ]
        if busy:
            cells.append(_busy(row))
        if memory:
            cells.append(f"{row.peak_memory / 2**20:.1f}")
        table.add_row(*cells)
    return table


def goals_of(work: Work, rows: list[Row]) -> list[tuple[bool, str]]:
    """Return each goal of `work`: whether it is reached, and a line that says so."""
    reached = [is_reached(goal, rows) for goal in work.goals]
    return [
        (met, f"{'reached' if met else 'NOT REACHED'}  {goal.text}")
        for met, goal in zip(reached, work.goals, strict=True)
    ]


def _figures(row: Row) -> tuple[str, str]:
    lowest, highest = min(row.figures), max(row.figures)
    return _number(median(row.figures)), f"{_number(lowest)} - {_number(highest)}"


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.2f}"


def _busy(row: Row) -> str:
    server = median(reading.server_busy for reading in row.readings)
    load = median(reading.load_busy for reading in row.readings)
    return f"{server:.0%} / {load:.0%}"
