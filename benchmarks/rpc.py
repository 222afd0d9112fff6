"""RPC: calls of 100 B, one at a time, from request to reply: median and 99th percentile.

Each client is measured with the same two servers, one of RabbitMQ's tutorial on pika and ours,
which answer with the request.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of_calls, require_rabbitmq, running_broker
from benchmarks.commands import client
from benchmarks.comparison import Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer

COUNT: Final = 3000
CLIENTS: Final = {"netdemo": "our_rpc", "pika TwistedChannel": "pika_rpc"}
SERVERS: Final = {"pika": "pika_rpc_server", "netdemo": "our_rpc_server"}


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare clients.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    pairs = {
        client(f"{name}, {server}'s server", program, COUNT): client(f"{server}'s server", serving)
        for server, serving in SERVERS.items()
        for name, program in CLIENTS.items()
    }

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_broker() as broker:
            yield lambda peer: reading_of_calls(broker, peer, pairs[peer], COUNT, peer.name)

    return Work(
        name="rpc",
        title=f"rpc: {COUNT:,} calls of 100 B, one at a time",
        unit="µs",
        reference="pika TwistedChannel, pika's server",
        peers=list(pairs),
        turns=turns,
        goals=[],
        sides=("client", "node"),
    )
