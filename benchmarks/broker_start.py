"""Our broker beside RabbitMQ: from the start of its process until a client has a channel."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.brokers import OURS, RABBITMQ, SIDES, START, brokers
from benchmarks.comparison import Work, at_most, peak_memory_below
from benchmarks.load import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer

LIMIT: Final = 0.5
"""Seconds."""
PEAK_MEMORY: Final = 50
"""MiB that our broker may have in memory, Python and Twisted included."""
SETTLING: Final = 1.0
"""Seconds until a broker has done what it does after its start."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare brokers, which start with nothing stored.

    :raises MissingError: when there is no RabbitMQ.
    """
    return Work(
        name="broker-start",
        title="broker: from the start of its process to an open channel, and its memory then",
        unit="s",
        reference=RABBITMQ,
        peers=brokers(),
        turns=_turns,
        goals=[at_most(OURS, LIMIT, f"{LIMIT} s"), peak_memory_below(OURS, PEAK_MEMORY)],
        sides=SIDES,
    )


@contextmanager
def _turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
    def turn(peer: Peer) -> Reading:
        began = time.monotonic()
        with START[peer.name]() as broker:
            taken = time.monotonic() - began
            time.sleep(SETTLING)
            return Reading(taken, peak_memory=broker.peak_memory())

    yield turn
