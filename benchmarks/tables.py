"""Showing what was measured."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.comparison import is_reached

if TYPE_CHECKING:
    from benchmarks.comparison import Row, Work


def table_of(work: Work, rows: list[Row], contention: float) -> Table:
    """Return the figures of one work side by side.

    `contention` is the share of the time in which a program waited for a processor, or NaN.
    """
    reference = next((row for row in rows if row.peer == work.reference), None)
    table = Table(title=work.title, title_justify="left", caption_justify="left")
    table.add_column(work.sides[0])
    for heading in _headings(work, rows):
        table.add_column(heading, justify="right")
    for row in rows:
        ratio = "-" if reference is None else f"{row.ratio(reference):.2f}"
        table.add_row(row.peer, *_figures(row), ratio, *_costs(work, row))
    peer, other = work.sides
    notes = [f"* the {other} is the limit: this {peer} could do more"] if work.cost_unit else []
    if not math.isnan(contention):
        notes.append(f"for {contention:.0%} of the time a program waited for a processor")
    table.caption = "\n".join(notes)
    return table


def goals_of(work: Work, rows: list[Row]) -> list[tuple[bool, str]]:
    """Return each goal of `work`: whether it is reached, and a line that says so."""
    reached = [is_reached(goal, rows) for goal in work.goals]
    return [
        (met, f"{'reached' if met else 'NOT REACHED'}  {goal.text}")
        for met, goal in zip(reached, work.goals, strict=True)
    ]


def _headings(work: Work, rows: list[Row]) -> list[str]:
    headings = [work.unit, "lowest - highest", f"x {work.reference}"]
    if work.cost_unit:
        headings += [f"{work.sides[0]} {work.cost_unit}", f"busy {' / '.join(work.sides)}"]
    if any(row.peak_memory for row in rows):
        headings.append("peak MiB")
    if any(row.p99 for row in rows):
        headings.append(f"p99 {work.unit}")
    return headings


def _figures(row: Row) -> tuple[str, str]:
    lowest, highest = min(row.figures), max(row.figures)
    return _number(median(row.figures)), f"{_number(lowest)} - {_number(highest)}"


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.2f}"


def _costs(work: Work, row: Row) -> list[str]:
    cells = []
    if work.cost_unit:
        busy = median(reading.busy for reading in row.readings)
        other = median(reading.other_busy for reading in row.readings)
        limit = " *" if other > busy else ""
        cells += [f"{row.cost * work.cost_scale:.1f}", f"{busy:.0%} / {other:.0%}{limit}"]
    if row.peak_memory:
        cells.append(f"{row.peak_memory / 2**20:.1f}")
    if row.p99:
        cells.append(_number(row.p99))
    return cells
