"""Consume: 100,000 messages of 100 B that wait in one queue, all acknowledged, prefetch 500.

Ours acknowledges several with one frame where that is possible, without being told to. The others
send what their user asks for, one each; beside them pika's is asked for one in half a prefetch.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of, require_rabbitmq, running_broker
from benchmarks.commands import available, client, python_client
from benchmarks.comparison import Work, at_least, no_dearer
from benchmarks.peers.turn import PREFETCH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.load import Reading
    from benchmarks.servers import Peer

COUNT: Final = 100_000
SEVERAL: Final = PREFETCH // 2


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare consumers.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    ours = client("netdemo", "our_consume", COUNT)
    raw = client("pika TwistedChannel", "pika_consume", COUNT)
    several = client(f"{raw.name}, one ack for {SEVERAL}", "pika_consume", COUNT, SEVERAL)
    more = available(
        {
            "aio-pika": lambda: python_client("aio-pika", "aio_pika_consume", COUNT),
            "py-amqp": lambda: python_client("py-amqp", "py_amqp_consume", COUNT),
        }
    )
    return Work(
        name="consume",
        title=f"consume: {COUNT:,} x 100 B, all acknowledged, prefetch {PREFETCH}",
        unit="messages/s",
        reference=raw.name,
        peers=[ours, raw, several, *more],
        turns=_turns,
        goals=[no_dearer(ours.name, raw.name), at_least(ours.name, "aio-pika", 2)],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=("client", "node"),
    )


@contextmanager
def _turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
    filler = client("the publisher before it", "fill", COUNT)
    with running_broker() as broker:

        def turn(peer: Peer) -> Reading:
            broker.empty_queue()
            broker.turn_of(filler, COUNT)
            broker.require_messages(COUNT, filler.name)
            reading = reading_of(*broker.turn_of(peer, COUNT))
            broker.require_messages(0, peer.name)
            return reading

        yield turn
