"""Our broker beside RabbitMQ: a message in and the first one out, of queues of 10 and of 1,000,000.

A message is 1 KB and persistent, its publisher waits for the confirm, and gets without an ack; so
the depth stays. Each queue has a broker of its own, which shows what memory a deep one takes.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of_broker
from benchmarks.brokers import OURS, RABBITMQ, SIDES, START, broker_peer, brokers
from benchmarks.commands import client
from benchmarks.comparison import Work, no_dearer, peak_memory_below
from benchmarks.load import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer

COUNT: Final = 2000
SHALLOW, DEEP = DEPTHS = (10, 1_000_000)
LIMIT: Final = 300.0
"""Seconds in which a queue is to be filled."""
SAME: Final = 1.1
"""Times the cost at a shallow queue that is no more than it, for a noisy machine."""
PEAK_MEMORY: Final = 300
"""MiB that our broker may ever have in memory, with 1,000 MB in its queue."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare brokers.

    :raises MissingError: when there is no RabbitMQ.
    """
    brokers()
    rows = {broker_peer(_row(name, depth)): (name, depth) for depth in DEPTHS for name in START}

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with ExitStack() as stack:
            running = {}
            for peer, (name, depth) in rows.items():
                running[peer] = broker = stack.enter_context(START[name]())
                broker.empty_queue()
                broker.turn_of(client("filler", "deepen", depth), depth, LIMIT)
            yield lambda peer: _measure(running[peer], peer.name, rows[peer][1])

    return Work(
        name="broker-depth",
        title=f"broker: {COUNT:,} x 1 KB, persistent, published and got one by one",
        unit="pairs/s",
        reference=_row(RABBITMQ, DEEP),
        peers=list(rows),
        turns=turns,
        goals=[
            no_dearer(_row(OURS, DEEP), _row(OURS, SHALLOW), SAME),
            peak_memory_below(_row(OURS, DEEP), PEAK_MEMORY),
        ],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=SIDES,
    )


def _row(name: str, depth: int) -> str:
    return f"{name}, {depth:,} in the queue"


def _measure(broker: Broker, name: str, depth: int) -> Reading:
    told, busy = broker.turn_of(client("client", "put_and_get", COUNT), COUNT)
    broker.require_messages(depth, name)
    rate = reading_of_broker(told, busy)
    return Reading(rate.figure, rate.busy, rate.other_busy, broker.peak_memory())
