"""Spool: 100,000 lines of 100 B from one TCP sender to a durable queue, with and without --spool.

The spool is where the benchmark's own files are; a turn ends when all are in the queue.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import require_rabbitmq, running_broker
from benchmarks.comparison import Work, at_least
from benchmarks.gateways import bridge, carried, running_gateways

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.load import Reading
    from benchmarks.servers import Peer

COUNT: Final = 100_000
SHARE: Final = 0.7
"""Of the rate without a spool that there shall be with it."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare push routes.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    plain, spooled = bridge("push"), bridge("push", "--spool", str(folder / "spool"))

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with (
            running_broker() as broker,
            running_gateways([plain, spooled], broker, folder) as servers,
        ):
            for server in servers.values():
                carried(server, broker)

            def turn(peer: Peer) -> Reading:
                return carried(servers[peer.name], broker, COUNT)

            yield turn

    return Work(
        name="bridge-spool",
        title=f"spool: {COUNT:,} lines of 100 B from one sender, persistent, until in the queue",
        unit="records/s",
        reference=plain.name,
        peers=[gateway.peer() for gateway in (plain, spooled)],
        turns=turns,
        goals=[at_least(spooled.name, plain.name, SHARE)],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=("gateway", "node"),
    )
