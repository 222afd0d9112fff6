"""Comparing peers at one work: in rounds, by turns, so that a noisy machine is noisy for all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.load import Reading
from benchmarks.servers import Peer, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.servers import Server

Turn = Callable[[Peer], Reading]
"""Lets a peer do the work once."""
Turns = Callable[[list[Peer], Path], AbstractContextManager[Turn]]


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
    def p99(self) -> float:
        """Return the median of the rounds' 99th percentiles; 0 when there are none."""
        return median(reading.p99 for reading in self.readings)

    @property
    def cost(self) -> float:
        """Return the seconds of processor time that the peer took for one of what it did.

        Other programs on the machine do not change it much.
        """
        return median(self.costs)

    @property
    def costs(self) -> list[float]:
        """Return the cost of each round."""
        return [reading.busy / reading.figure for reading in self.readings]

    def ratio(self, reference: Row) -> float:
        """Return the median of the rounds' ratios: what slows a whole round is not in it."""
        return _ratio(self.figures, reference.figures)

    def cost_ratio(self, reference: Row) -> float:
        """Return the same of the costs."""
        return _ratio(self.costs, reference.costs)


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
    turns: Turns
    """Takes `peers` and a folder; has running what they need while the rounds last."""
    goals: list[Goal]
    cost_unit: str = ""
    """What `Row.cost` is shown in, when it is shown."""
    cost_scale: float = 1.0
    """How many of that make a second."""
    sides: tuple[str, str] = ("server", "load")
    """What the peers are, and what their other side is."""


def kept(warm_up: Callable[[Server], object], measure: Callable[[Server], Reading]) -> Turns:
    """Have all servers running all the time."""

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:
        with ExitStack() as stack:
            servers = {}
            for peer in peers:
                servers[peer.name] = stack.enter_context(running(peer, folder))
                warm_up(servers[peer.name])
            yield lambda peer: measure(servers[peer.name])

    return turns


def afresh(warm_up: Callable[[Server], object], measure: Callable[[Server], Reading]) -> Turns:
    """Have a new server for each turn, as memory once used does not show up again."""

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        def turn(peer: Peer) -> Reading:
            with running(peer, folder) as server:
                warm_up(server)
                return measure(server)

        yield turn

    return turns


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


def cost_at_most(ours: str, limit: float, what: str) -> Goal:
    """Ours takes `limit` seconds of processor time, which is `what`, or less, for each it does."""
    return Goal(f"{ours}: at most {what}", (ours,), lambda rows: rows[0].cost <= limit)


def at_most_times(ours: str, reference: str, factor: float) -> Goal:
    """Our figure, of which less is better, is `factor` times that of `reference`, or less."""
    return Goal(
        f"{ours}: at most {factor:.2f} x {reference}",
        (ours, reference),
        lambda rows: rows[0].ratio(rows[1]) <= factor,
    )


def no_dearer(ours: str, reference: str, factor: float = 1.0) -> Goal:
    """Ours takes `factor` times the processor time of `reference`, or less, for each it does."""
    share = "" if factor == 1 else f"{factor:.2f} x "
    return Goal(
        f"{ours}: at most {share}the processor time of {reference}",
        (ours, reference),
        lambda rows: rows[0].cost_ratio(rows[1]) <= factor,
    )


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
    with work.turns(work.peers, folder) as turn:
        for number in range(1, rounds + 1):
            print(f"{work.name}: round {number} of {rounds}", file=sys.stderr, flush=True)
            for peer in work.peers if number % 2 else reversed(work.peers):
                rows[peer.name].readings.append(turn(peer))
    return list(rows.values())


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(one / other for one, other in zip(ours, theirs, strict=True))
