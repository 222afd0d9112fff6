"""Our broker beside RabbitMQ: a topic exchange with 10, 1,000 and 10,000 bindings, one matching.

No routing key comes twice, so that nothing that is remembered helps. The others differ from it in
their last word alone, and lead to the same queue.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of_broker
from benchmarks.brokers import OURS, RABBITMQ, SIDES, START, broker_peer, brokers, running_both
from benchmarks.commands import client
from benchmarks.comparison import Work, at_least, no_dearer
from benchmarks.peers.turn import IN_FLIGHT, QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Turn
    from benchmarks.load import Reading
    from benchmarks.servers import Peer

COUNT: Final = 20_000
FEW, SOME, MANY = BINDINGS = (10, 1000, 10_000)
SAME: Final = 1.1
"""Times the cost with few bindings that is no more than it, for a noisy machine."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare brokers.

    :raises MissingError: when there is no RabbitMQ.
    """
    brokers()
    rows = {
        broker_peer(_row(name, bindings)): (name, bindings)
        for bindings in BINDINGS
        for name in START
    }

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_both() as running:
            for broker in running.values():
                broker.empty_queue()
                for bindings in BINDINGS:
                    _bind(broker, bindings)
            yield lambda peer: _measure(running[rows[peer][0]], peer.name, rows[peer][1])

    return Work(
        name="broker-topic",
        title=f"broker: {COUNT:,} x 100 B to one queue by a topic, transient, confirmed, "
        f"{IN_FLIGHT:,} in flight",
        unit="messages/s",
        reference=_row(RABBITMQ, MANY),
        peers=list(rows),
        turns=turns,
        goals=[
            at_least(_row(OURS, MANY), _row(RABBITMQ, MANY)),
            no_dearer(_row(OURS, SOME), _row(OURS, FEW), SAME),
            no_dearer(_row(OURS, MANY), _row(OURS, FEW), SAME),
        ],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=SIDES,
    )


def _row(name: str, bindings: int) -> str:
    return f"{name}, {bindings:,} bindings"


def _exchange(bindings: int) -> str:
    return f"topic-{bindings}"


def _bind(broker: Broker, bindings: int) -> None:
    broker.channel.exchange_declare(_exchange(bindings), "topic")
    broker.channel.queue_bind(QUEUE, _exchange(bindings), "stock.*.price")
    for number in range(bindings - 1):
        broker.channel.queue_bind(QUEUE, _exchange(bindings), f"stock.{number}.volume")


def _measure(broker: Broker, name: str, bindings: int) -> Reading:
    broker.channel.queue_purge(QUEUE)
    publisher = client("publisher", "publish_transient", COUNT, _exchange(bindings))
    reading = reading_of_broker(*broker.turn_of(publisher, COUNT))
    broker.require_messages(COUNT, name)
    return reading
