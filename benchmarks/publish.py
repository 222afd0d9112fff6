"""Publish: 100,000 persistent messages of 100 B to one queue, 1,000 at a time unconfirmed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of, require_rabbitmq, running_broker
from benchmarks.commands import amqp_publish, available, client, python_client
from benchmarks.comparison import Work, at_least, no_dearer
from benchmarks.peers.turn import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.load import Reading
    from benchmarks.servers import Peer

COUNT: Final = 100_000
ONE_BY_ONE: Final = COUNT // 10
"""Messages of the peer that waits for each."""
EACH: Final = "py-amqp, 1 at a time"


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare publishers.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    ours = client("netdemo", "our_publish", COUNT)
    raw = client("pika TwistedChannel", "pika_publish", COUNT)
    same = client(f"{raw.name}, mandatory, message id", "pika_publish", COUNT, "same")
    more = available(
        {
            "aio-pika": lambda: python_client("aio-pika", "aio_pika_publish", COUNT),
            "py-amqp": lambda: python_client("py-amqp", "py_amqp_publish", COUNT),
            EACH: lambda: python_client(EACH, "py_amqp_publish", ONE_BY_ONE, "each"),
            "amqp-publish": lambda: amqp_publish(COUNT),
        }
    )
    return Work(
        name="publish",
        title=f"publish: {COUNT:,} x 100 B, persistent, confirmed, {IN_FLIGHT:,} in flight",
        unit="messages/s",
        reference=raw.name,
        peers=[ours, raw, same, *more],
        turns=_turns,
        goals=[
            no_dearer(ours.name, raw.name),
            at_least(ours.name, raw.name),
            at_least(ours.name, "aio-pika", 2),
        ],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=("client", "node"),
    )


@contextmanager
def _turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
    with running_broker() as broker:

        def turn(peer: Peer) -> Reading:
            count = ONE_BY_ONE if peer.name == EACH else COUNT
            broker.empty_queue()
            reading = reading_of(*broker.turn_of(peer, count))
            broker.require_messages(count, peer.name)
            return reading

        yield turn
