"""The eager reactor: Twisted's plainest echo on it, 50 connections, small and large messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.commands import available, c_echo, eager, ours, script, stock_echo, uvloop_echo
from benchmarks.comparison import Work, at_least, kept
from benchmarks.echo import CONNECTIONS, SIZE, WARM_UP
from benchmarks.load import run_load

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.comparison import Goal

LARGE: Final = 65_536
FASTER: Final = 2.7
"""Times the rate of the stock reactor, which the eager one shall have with small messages."""
EAGER: Final = "Twisted, eager reactor"
UVLOOP: Final = "uvloop"


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare reactors at messages of 64 B."""
    goals = [at_least(EAGER, UVLOOP), at_least(EAGER, stock_echo().name, FASTER)]
    return _work("reactor-echo", SIZE, seconds, goals)


def bulk_work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare reactors at messages of 64 KiB."""
    return _work("reactor-bulk-echo", LARGE, seconds, [at_least(EAGER, UVLOOP)])


def _work(name: str, size: int, seconds: float, goals: list[Goal]) -> Work:
    stock = stock_echo()
    asyncio = script("asyncio", "asyncio_echo.py")
    more = available({UVLOOP: uvloop_echo})
    return Work(
        name=name,
        title=f"echo on reactors: {CONNECTIONS} connections x {size:,} B",
        unit="round trips/s",
        reference=UVLOOP if more else stock.name,
        peers=[
            *(eager(EAGER, "stock_echo.py"), ours("echo", reactor="eager")),
            *(stock, ours("echo"), asyncio, *more, c_echo()),
        ],
        turns=kept(
            lambda server: run_load(server, "echo", CONNECTIONS, size, WARM_UP),
            lambda server: run_load(server, "echo", CONNECTIONS, size, seconds),
        ),
        goals=goals,
        cost_unit="µs each",
        cost_scale=1e6,
    )
