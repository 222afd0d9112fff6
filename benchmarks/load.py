"""Running the load (``load.c``) against a server, and what one run of it read."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.provision import compiled
from benchmarks.servers import CORES, bind_to_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.servers import Server

DRAIN: Final = 90.0
"""Seconds beyond its own limit after which the load has hung."""


class LoadError(Exception):
    """A connection failed, or brought other bytes than it should: the run does not count."""


@dataclass(frozen=True)
class Reading:
    """What one run found."""

    figure: float
    busy: float = 0.0
    """The share of the time in which the peer was running: 1 is one core."""
    other_busy: float = 0.0
    """The same of its other side; near 1 it is that which was measured, not the peer."""
    peak_memory: int = 0
    """The most resident memory that a server ever had, in bytes, where that is of interest."""
    p99: float = 0.0
    """The 99th percentile, where the figure is a median."""


def run_load(server: Server, mode: str, connections: int, size: int, seconds: float) -> Reading:
    """Put a load on `server`; the figure is how many came to a good end in a second.

    :raises LoadError: when anything went wrong on any connection.
    """
    before = server.processor_time()
    finished = subprocess.run(
        _command(server, mode, connections, size, seconds),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds + DRAIN,
        preexec_fn=lambda: bind_to_us(CORES[-1]),
    )
    used = server.processor_time() - before
    if finished.returncode:
        raise LoadError(
            f"{server.peer.name}: {finished.stderr.strip()} ({finished.stdout.strip()})"
        )
    found = parse(finished.stdout)
    taken = found["seconds"]
    return Reading(found["count"] / taken, used / taken, found["busy"])


@contextmanager
def idle_connections(server: Server, connections: int, seconds: float) -> Iterator[None]:
    """Hold `connections` that `server` has answered once, while the context lasts.

    :raises LoadError: when they can't be opened, or are lost before the end.
    """
    with subprocess.Popen(
        _command(server, "idle", connections, 1, seconds),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: bind_to_us(CORES[-1]),
    ) as load:
        try:
            assert load.stdout is not None
            line = load.stdout.readline().strip()  # the load ends by itself, at the latest
            if line and not parse(line)["errors"]:
                yield
            complaint = load.communicate(timeout=DRAIN)[1].strip()
            if not line or load.returncode:
                raise LoadError(f"{server.peer.name}: {complaint} ({line})")
        finally:
            load.kill()


def parse(line: str) -> dict[str, float]:
    """Read the line that the load prints."""
    return {key: float(value) for key, _, value in (part.partition("=") for part in line.split())}


def _command(server: Server, mode: str, connections: int, size: int, seconds: float) -> list[str]:
    numbers = [server.port, connections, size, seconds]
    request = [server.peer.request] if server.peer.request else []
    return [str(compiled("load")), mode, *map(str, numbers), *request]
