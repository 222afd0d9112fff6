"""Comparing peers at one work: in rounds, by turns, so that a noisy machine is noisy for all."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.servers import Peer, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.load import Reading


@dataclass
class Row:
    """What all rounds read of one peer."""

    peer: str
    readings: list[Reading] = field(default_factory=list)

    @property
    def figures(self) -> list[float]:
        """Return the figure of each round."""
        return [reading.figure for reading in self.readings]

    @property
    def peak_memory(self) -> int:
        """Return the most resident memory in any round, in bytes; 0 when it was not measured."""
        return max(reading.peak_memory for reading in self.readings)

    @property
    def cost(self) -> float:
        """Return the seconds of processor time that the server took for one of what it did.

        Other programs on the machine do not change it much.
        """
        return median(reading.server_busy / reading.figure for reading in self.readings)

    def ratio(self, reference: Row) -> float:
        """Return the median of the rounds' ratios: what slows a whole round is not in it."""
        pairs = zip(self.figures, reference.figures, strict=True)
        return median(mine / theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Goal:
    """Something that our server must reach."""

    text: str
    peers: tuple[str, ...]
    """Those that it is about; when one was left out, it is not reached."""
    reached: Callable[[list[Row]], bool]
    """Takes the rows of `peers`, in their order."""


@dataclass(frozen=True)
class Work:
    """One kind of work, the peers that do it, and what is measured while they do."""

    name: str
    title: str
    unit: str
    reference: str
    """The peer whose figures are 1 in the column of ratios."""
    peers: list[Peer]
    warm_up: Callable[[Server], object]
    measure: Callable[[Server], Reading]
    goals: list[Goal]
    cost_unit: str = ""
    """What `Row.cost` is shown in, when it is shown."""
    cost_scale: float = 1.0
    """How many of that make a second."""
    afresh: bool = False
    """Whether each round takes new servers, as memory once used does not show up again."""


def at_least(ours: str, reference: str, factor: float = 1.0) -> Goal:
    """Our figure is `factor` times that of `reference`, or more."""
    return Goal(
        f"{ours}: at least {factor:.2f} x {reference}",
        (ours, reference),
        lambda rows: rows[0].ratio(rows[1]) >= factor,
    )


def at_most(ours: str, limit: float, what: str) -> Goal:
    """Our figure, which is `what`, is `limit` or less."""
    return Goal(f"{ours}: at most {what}", (ours,), lambda rows: median(rows[0].figures) <= limit)


def peak_memory_below(ours: str, mebibytes: int) -> Goal:
    """Our server was never larger than `mebibytes`, its program's own pages included."""
    return Goal(
        f"{ours}: peak resident memory below {mebibytes} MiB",
        (ours,),
        lambda rows: rows[0].peak_memory < mebibytes << 20,
    )


def is_reached(goal: Goal, rows: list[Row]) -> bool:
    """Return whether `rows` reach `goal`."""
    by_name = {row.peer: row for row in rows}
    about = [by_name[name] for name in goal.peers if name in by_name]
    return len(about) == len(goal.peers) and goal.reached(about)


def compare(work: Work, rounds: int, folder: Path) -> list[Row]:
    """Let all peers do `work`, `rounds` times; every other round is in reverse order."""
    rows = {peer.name: Row(peer.name) for peer in work.peers}
    with ExitStack() as stack:
        kept = {} if work.afresh else _started(work, folder, stack)
        for number in range(1, rounds + 1):
            print(f"{work.name}: round {number} of {rounds}", file=sys.stderr, flush=True)
            for peer in work.peers if number % 2 else reversed(work.peers):
                readings = rows[peer.name].readings
                if work.afresh:
                    with running(peer, folder) as server:
                        work.warm_up(server)
                        readings.append(work.measure(server))
                else:
                    readings.append(work.measure(kept[peer.name]))
    return list(rows.values())


def _started(work: Work, folder: Path, stack: ExitStack) -> dict[str, Server]:
    servers = {}
    for peer in work.peers:
        servers[peer.name] = stack.enter_context(running(peer, folder))
        work.warm_up(servers[peer.name])
    return servers
