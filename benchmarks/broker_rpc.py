"""Our broker beside RabbitMQ: calls of 100 B by direct reply-to, one at a time.

Client and server are plain sockets, so that the brokers are compared, and share the core that is
not the broker's.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import reading_of_calls
from benchmarks.brokers import OURS, RABBITMQ, SIDES, brokers, running_both
from benchmarks.commands import client
from benchmarks.comparison import Work, at_most_times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer

COUNT: Final = 3000
SHARE: Final = 0.7
"""Of RabbitMQ's time that ours may take."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Compare brokers, by the median from request to reply.

    :raises MissingError: when there is no RabbitMQ.
    """
    caller = client("caller", "socket_rpc", COUNT)
    server = client("server", "socket_rpc_server")

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_both() as running:
            yield lambda peer: reading_of_calls(
                running[peer.name], caller, server, COUNT, peer.name
            )

    return Work(
        name="broker-rpc",
        title=f"broker: {COUNT:,} calls of 100 B, one at a time",
        unit="µs",
        reference=RABBITMQ,
        peers=brokers(),
        turns=turns,
        goals=[at_most_times(OURS, RABBITMQ, SHARE)],
        sides=SIDES,
    )
