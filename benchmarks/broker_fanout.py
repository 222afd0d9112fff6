"""Our broker beside RabbitMQ: one publisher to a fanout exchange with 50 queues, transient.

Nobody consumes: a turn ends when all is confirmed, then each queue must have it all, and is
deleted. A consumer in Python would be the limit, not the broker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of_broker
from benchmarks.brokers import OURS, RABBITMQ, side_by_side
from benchmarks.commands import client
from benchmarks.comparison import at_least
from benchmarks.peers.turn import IN_FLIGHT

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Work
    from benchmarks.load import Reading

COUNT: Final = 4000
QUEUES: Final = tuple(f"fanout-{number}" for number in range(50))
EXCHANGE: Final = "amq.fanout"


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare brokers, by what comes into queues in a second.

    :raises MissingError: when there is no RabbitMQ.
    """
    return side_by_side(
        "broker-fanout",
        f"broker: {COUNT:,} x 100 B to each of {len(QUEUES)} queues, transient, confirmed, "
        f"{IN_FLIGHT:,} in flight",
        _measure,
        [at_least(OURS, RABBITMQ)],
    )


def _measure(broker: Broker, name: str) -> Reading:
    for queue in QUEUES:
        broker.channel.queue_declare(queue)
        broker.channel.queue_bind(queue, EXCHANGE)
    publisher = client("publisher", "publish_transient", COUNT, EXCHANGE)
    reading = reading_of_broker(*broker.turn_of(publisher, COUNT), len(QUEUES))
    for queue in QUEUES:
        broker.require_messages(COUNT, name, queue)
        broker.channel.queue_delete(queue)
    return reading
