"""Our broker beside RabbitMQ: one consumer of a queue of 100,000, an ack for each.

The client is pika's, since ours would acknowledge several at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of_broker
from benchmarks.brokers import OURS, RABBITMQ, side_by_side
from benchmarks.commands import client
from benchmarks.comparison import at_least
from benchmarks.peers.turn import PREFETCH

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Work
    from benchmarks.load import Reading

COUNT: Final = 100_000


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare brokers.

    :raises MissingError: when there is no RabbitMQ.
    """
    return side_by_side(
        "broker-consume",
        f"broker: {COUNT:,} x 100 B consumed, persistent, an ack each, prefetch {PREFETCH}",
        _measure,
        [at_least(OURS, RABBITMQ)],
    )


def _measure(broker: Broker, name: str) -> Reading:
    broker.empty_queue()
    broker.turn_of(client("the publisher before it", "our_publish", COUNT), COUNT)
    broker.require_messages(COUNT, name)
    reading = reading_of_broker(*broker.turn_of(client("consumer", "pika_consume", COUNT), COUNT))
    broker.require_messages(0, name)
    return reading
