"""Fair: 1,000 clients that send lines of 100 B at once, as fast as they may, for five seconds.

The figure is the slowest client's share of what each would have if all had the same. What counts
is in the queue at the end of them, whoever wrote it; the queue is looked through.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import TYPE_CHECKING, Final

from benchmarks.broker import require_rabbitmq, running_broker
from benchmarks.comparison import Goal, Work
from benchmarks.gateways import bridge, carried, running_gateway
from benchmarks.load import LoadError, Reading
from benchmarks.peers.turn import QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Row, Turn
    from benchmarks.servers import Peer, Server

CLIENTS: Final = 1000
SECONDS: Final = 5.0
SHARE: Final = 0.5
"""Of the mean that the slowest client shall have."""
LINES: Final = 100
"""That a client writes at once."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Look at push routes with and without answers.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    gateways = {gateway.name: gateway for gateway in (bridge("push"), bridge("push", "--ack"))}
    plain, *_ = gateways

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_broker() as broker:

            def turn(peer: Peer) -> Reading:
                with running_gateway(gateways[peer.name], broker, folder) as server:
                    carried(server, broker)
                    broker.empty_queue()
                    return Reading(_share_of_slowest(server, broker))

            yield turn

    return Work(
        name="bridge-fair",
        title=f"fair: {CLIENTS:,} clients of a push route send for {SECONDS:g} s at once",
        unit="slowest / mean",
        reference=plain,
        peers=[gateway.peer() for gateway in gateways.values()],
        turns=turns,
        goals=[_fair(name) for name in gateways],
    )


def _fair(name: str) -> Goal:
    def reached(rows: list[Row]) -> bool:
        return min(rows[0].figures) >= SHARE

    return Goal(f"{name}: the slowest has {SHARE:.0%} of the mean in each round", (name,), reached)


def _share_of_slowest(server: Server, broker: Broker) -> float:
    with ExitStack() as stack:
        selector = stack.enter_context(DefaultSelector())
        for number in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.setblocking(False)
            left = _Line(b"%0100d\n" % number * LINES)
            selector.register(client, EVENT_READ | EVENT_WRITE, left)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for key, ready in selector.select(deadline - time.monotonic()):
                _go_on(key.fileobj, key.data, ready)  # type: ignore[arg-type]  # a socket
        count = broker.channel.queue_declare(QUEUE, passive=True).method.message_count
    written: Counter[int] = Counter()
    for method, _, body in broker.channel.consume(QUEUE, auto_ack=True, inactivity_timeout=10):
        if method is None or body is None:
            raise LoadError(f"{server.peer.name}: {written.total():,} of {count:,} came back")
        written[int(body)] += 1
        if written.total() == count:
            break
    broker.channel.cancel()
    return min(written[number] for number in range(CLIENTS)) * CLIENTS / written.total()


class _Line:
    """What a client sends again and again, and how much of it has gone."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sent = 0


def _go_on(client: socket.socket, line: _Line, ready: int) -> None:
    if ready & EVENT_READ and not client.recv(1 << 16):
        raise LoadError("a client was cut off")
    if ready & EVENT_WRITE:
        line.sent = (line.sent + client.send(line.data[line.sent :])) % len(line.data)
