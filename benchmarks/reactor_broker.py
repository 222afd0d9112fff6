"""The eager reactor: our broker on it, and on the stock one, at 100,000 confirmed messages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.broker import running_our_broker
from benchmarks.broker_publish import COUNT, published
from benchmarks.brokers import SIDES, broker_peer
from benchmarks.comparison import Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer

STOCK, EAGER = "stock reactor", "eager reactor"


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare reactors under the broker."""

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_our_broker() as stock, running_our_broker("eager") as eager:
            brokers = {STOCK: stock, EAGER: eager}
            yield lambda peer: published(brokers[peer.name], peer.name)

    return Work(
        name="reactor-broker",
        title=f"our broker on reactors: {COUNT:,} x 100 B published, persistent, confirmed",
        unit="messages/s",
        reference=STOCK,
        peers=[broker_peer(STOCK), broker_peer(EAGER)],
        turns=turns,
        goals=[],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=SIDES,
    )
