"""Our broker beside RabbitMQ: one publisher, 100,000 messages that are stored and confirmed."""

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

COUNT: Final = 100_000


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare brokers, at the publisher that is cheapest: ours.

    :raises MissingError: when there is no RabbitMQ.
    """
    return side_by_side(
        "broker-publish",
        f"broker: {COUNT:,} x 100 B published, persistent, confirmed, {IN_FLIGHT:,} in flight",
        published,
        [at_least(OURS, RABBITMQ)],
    )


def published(broker: Broker, name: str) -> Reading:
    """Have one publisher do it; the rate is that of the broker which is so `name`d."""
    broker.empty_queue()
    reading = reading_of_broker(*broker.turn_of(client("publisher", "our_publish", COUNT), COUNT))
    broker.require_messages(COUNT, name)
    return reading
