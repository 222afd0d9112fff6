"""Idle: 10,000 connections that have echoed once and say nothing, memory of the server for each.

It is anonymous memory (``RssAnon``), with the connections less without them. What the kernel keeps
for a socket is not in it, and the same for all.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.commands import ours, stock_echo
from benchmarks.comparison import Work, afresh, at_most
from benchmarks.load import Reading, idle_connections, run_load

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import Server

CONNECTIONS: Final = 10_000
LIMIT: Final = 60.0
"""Seconds for one server to open all connections."""
MEMORY: Final = 2048
"""Bytes that our server may use for one connection."""
SETTLING: Final = 0.5
"""Seconds until a server has done what it does after the last connection."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare echo servers, new ones for each round."""
    plain = ours("echo")
    limited = ours("echo", "--idle-timeout", "600", "--max-connections", "20000")
    stock = stock_echo()
    return Work(
        name="idle",
        title=f"idle: {CONNECTIONS:,} connections",
        unit="B each",
        reference=stock.name,
        peers=[plain, limited, stock],
        turns=afresh(
            lambda server: run_load(server, "echo", 10, 1, 0.1),
            _measure,
        ),
        goals=[at_most(peer.name, MEMORY, f"{MEMORY} B each") for peer in (plain, limited)],
    )


def _measure(server: Server) -> Reading:
    time.sleep(SETTLING)
    before = server.memory("RssAnon")
    with idle_connections(server, CONNECTIONS, LIMIT):
        time.sleep(SETTLING)
        after = server.memory("RssAnon")
    return Reading((after - before) / CONNECTIONS)
