"""The eager reactor: the bridge on it, which answers each of 100,000 records, and on the stock."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.bridge_push import COUNT
from benchmarks.broker import require_rabbitmq, running_broker
from benchmarks.comparison import Work
from benchmarks.gateways import bridge, carried, running_gateways

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare reactors under the bridge.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    gateways = [bridge("push", "--ack"), bridge("push", "--ack", reactor="eager")]

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_broker() as broker, running_gateways(gateways, broker, folder) as servers:
            for server in servers.values():
                carried(server, broker)
            yield lambda peer: carried(servers[peer.name], broker, COUNT)

    return Work(
        name="reactor-bridge",
        title=f"push on reactors: {COUNT:,} lines of 100 B, persistent, each answered",
        unit="records/s",
        reference=gateways[0].name,
        peers=[gateway.peer() for gateway in gateways],
        turns=turns,
        goals=[],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=("bridge", "node"),
    )
