"""Pull: 100,000 messages of 100 B that wait in one queue, to one client that reads lines.

Beside it raw pika consumes the same, an ack each, prefetch 500 too. What is read is the time from
connecting, or consuming, until the last is there; each must come once, and in order.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of, require_rabbitmq, running_broker
from benchmarks.commands import client
from benchmarks.comparison import Work, at_least
from benchmarks.gateways import bridge, running_gateway
from benchmarks.load import LoadError, Reading
from benchmarks.peers.turn import PREFETCH, bodies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer, Server

COUNT: Final = 100_000
SHARE: Final = 0.8
"""Of the rate of raw pika that ours shall have."""
SETTLING: Final = 0.5
SILENCE: Final = 30.0
"""Seconds without a line after which a turn has failed."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare the bridge and a consumer.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    gateway = bridge("pull", "--prefetch", str(PREFETCH))
    raw = client("pika TwistedChannel", "pika_consume", COUNT)
    filler = client("the publisher before it", "fill", COUNT)

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_broker() as broker, running_gateway(gateway, broker, folder) as server:
            broker.empty_queue()

            def turn(peer: Peer) -> Reading:
                broker.turn_of(filler, COUNT)
                broker.require_messages(COUNT, filler.name)
                if peer is raw:
                    reading = reading_of(*broker.turn_of(raw, COUNT))
                else:
                    reading = _pulled(server, broker)
                broker.require_messages(0, peer.name)
                return reading

            yield turn

    return Work(
        name="bridge-pull",
        title=f"pull: {COUNT:,} x 100 B to one client, prefetch {PREFETCH}",
        unit="records/s",
        reference=raw.name,
        peers=[gateway.peer(), raw],
        turns=turns,
        goals=[at_least(gateway.name, raw.name, SHARE)],
        cost_unit="µs each",
        cost_scale=1e6,
        sides=("consumer", "node"),
    )


def _pulled(server: Server, broker: Broker) -> Reading:
    """Read all lines from `server`.

    :raises LoadError: when they are others.
    """
    expected = b"".join(body + b"\n" for body in bodies(COUNT))
    pieces = []
    left = len(expected)
    used, node_used = server.processor_time(), broker.processor_time()
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port), SILENCE) as connection:
        while left > 0 and (piece := connection.recv(1 << 20)):
            pieces.append(piece)
            left -= len(piece)
        seconds = time.perf_counter() - started
        used = server.processor_time() - used
        node_used = broker.processor_time() - node_used
        if b"".join(pieces) != expected:
            raise LoadError(f"{server.peer.name}: other lines than were published")
        broker.require_messages(0, server.peer.name)
        time.sleep(SETTLING)  # the acks of the last
    return Reading(COUNT / seconds, used / seconds, node_used / seconds)
