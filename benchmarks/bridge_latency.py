"""Latency: 5,000 records of 100 B, 1,000 a second, from each to its ``OK`` from the bridge.

That is beside the time from publishing to the confirm, with our client and without a bridge: what
the bridge adds is the difference of the medians.
"""

from __future__ import annotations

from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.broker import require_rabbitmq, running_broker, told_by
from benchmarks.commands import client
from benchmarks.comparison import Goal, Work
from benchmarks.gateways import bridge, carried, running_gateway
from benchmarks.load import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Row, Turn
    from benchmarks.servers import Peer

COUNT: Final = 5000
ADDED: Final = 1000.0
"""Microseconds that the bridge may add."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare the bridge with none.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    gateway = bridge("push", "--ack")
    direct = client("published without a bridge", "latency", COUNT)

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_broker() as broker, running_gateway(gateway, broker, folder) as server:
            carried(server, broker)
            through = client(gateway.name, "latency", COUNT, broker.port)

            def turn(peer: Peer) -> Reading:
                broker.empty_queue()
                if peer is direct:
                    told = told_by(direct, broker.port, COUNT)
                else:
                    told = told_by(through, server.port, COUNT)
                broker.require_messages(COUNT, peer.name)
                return Reading(told["p50"] * 1e6, p99=told["p99"] * 1e6)

            yield turn

    def reached(rows: list[Row]) -> bool:
        pairs = zip(rows[0].figures, rows[1].figures, strict=True)
        return median(ours - bare for ours, bare in pairs) < ADDED

    return Work(
        name="bridge-latency",
        title=f"latency: {COUNT:,} records of 100 B, 1,000 a second, from each to its answer",
        unit="µs",
        reference=direct.name,
        peers=[gateway.peer(), direct],
        turns=turns,
        goals=[
            Goal(
                f"{gateway.name}: less than {ADDED:,.0f} µs added to the median",
                (gateway.name, direct.name),
                reached,
            )
        ],
    )
