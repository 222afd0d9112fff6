"""Bulk: 4 clients at once, 1 GB to each, from the page cache; the load drops what it gets.

The file is a hole, which is page-cached zeros once it has been read: no disk takes part.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from benchmarks.commands import available, nginx_of, ours
from benchmarks.comparison import Work, at_least, kept, peak_memory_below
from benchmarks.load import Reading, run_load

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import Server

CLIENTS: Final = 4
SIZE: Final = 1_000_000_000
LIMIT: Final = 60.0
"""Seconds for one round of one server."""
PEAK_MEMORY: Final = 48
"""MiB that our server may have in memory, Python and Twisted included."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare senders of a large file; each round sends it once to each client."""
    large = folder / "large"
    with large.open("wb") as file:
        os.truncate(file.fileno(), SIZE)
    poetry = ours("poetry", "--file", str(large))
    more = available({"nginx": lambda: nginx_of(large)})
    return Work(
        name="bulk",
        title=f"bulk: {CLIENTS} clients x {SIZE / 1e9:.0f} GB",
        unit="GB/s",
        reference="nginx",
        peers=[poetry, *more],
        turns=kept(
            lambda server: run_load(server, "bulk", 1, SIZE, LIMIT),
            _measure,
        ),
        goals=[at_least(poetry.name, "nginx"), peak_memory_below(poetry.name, PEAK_MEMORY)],
        cost_unit="ms/GB",
        cost_scale=1e3,
    )


def _measure(server: Server) -> Reading:
    reading = run_load(server, "bulk", CLIENTS, SIZE, LIMIT)
    return replace(reading, figure=reading.figure * SIZE / 1e9, peak_memory=server.memory("VmHWM"))
