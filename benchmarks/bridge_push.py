"""Push: 100,000 lines of 100 B from one TCP sender to a durable queue, persistent.

A turn ends when the queue says that all of them are in it. The bridge waits for RabbitMQ's confirm
of each; syslog-ng and amqp-publish do not. The latter is no gateway: it reads a file.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import require_rabbitmq, running_broker
from benchmarks.commands import amqp_publish, available
from benchmarks.comparison import Work, at_least, cost_at_most
from benchmarks.gateways import bridge, carried, published_directly, running_gateways, syslog_ng

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.load import Reading
    from benchmarks.servers import Peer

COUNT: Final = 100_000
COST: Final = 20e-6
"""Seconds of processor time that the bridge may use for a record."""
SHARE: Final = 0.85
"""Of the rate of amqp-publish that ours shall have."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare gateways.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    plain, answering = bridge("push"), bridge("push", "--ack")
    others = available({"syslog-ng": lambda: syslog_ng(folder)})
    direct = available({"amqp-publish": lambda: amqp_publish(COUNT)})
    gateways = [plain, answering, *others]

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_broker() as broker, running_gateways(gateways, broker, folder) as servers:
            for server in servers.values():
                carried(server, broker)

            def turn(peer: Peer) -> Reading:
                if peer.name in servers:
                    return carried(servers[peer.name], broker, COUNT)
                return published_directly(peer, broker, COUNT)

            yield turn

    return Work(
        name="bridge-push",
        title=f"push: {COUNT:,} lines of 100 B from one sender, persistent, until in the queue",
        unit="records/s",
        reference=others[0].name if others else plain.name,
        peers=[*(gateway.peer() for gateway in gateways), *direct],
        turns=turns,
        goals=[
            at_least(plain.name, "syslog-ng, unconfirmed"),
            at_least(plain.name, "amqp-publish -l (C), unconfirmed", SHARE),
            cost_at_most(plain.name, COST, f"{COST * 1e6:.0f} µs of processor time a record"),
        ],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=("gateway", "node"),
    )
