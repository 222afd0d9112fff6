"""Echo: 50 connections, 64 bytes to and fro on each, round trips in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.commands import available, c_echo, ours, script, stock_echo, uvloop_echo
from benchmarks.comparison import Work, at_least, kept
from benchmarks.load import run_load

if TYPE_CHECKING:
    from pathlib import Path

CONNECTIONS: Final = 50
SIZE: Final = 64
WARM_UP: Final = 0.3


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare echo servers; each round loads each of them for `seconds`."""
    plain = ours("echo")
    limited = ours("echo", "--idle-timeout", "60", "--max-connections", "1000")
    stock = stock_echo()
    asyncio = script("asyncio", "asyncio_echo.py")
    more = available({"uvloop": uvloop_echo})
    return Work(
        name="echo",
        title=f"echo: {CONNECTIONS} connections x {SIZE} B",
        unit="round trips/s",
        reference=stock.name,
        peers=[plain, limited, stock, asyncio, *more, c_echo()],
        turns=kept(
            lambda server: run_load(server, "echo", CONNECTIONS, SIZE, WARM_UP),
            lambda server: run_load(server, "echo", CONNECTIONS, SIZE, seconds),
        ),
        goals=[at_least(plain.name, stock.name), at_least(limited.name, stock.name)],
        cost_unit="µs each",
        cost_scale=1e6,
    )
