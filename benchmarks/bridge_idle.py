"""Idle: 10,000 clients of a push route that have sent one record, memory of the bridge for each.

It is anonymous memory (``RssAnon``), with the clients less without them.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import require_rabbitmq, running_broker
from benchmarks.comparison import Work, at_most
from benchmarks.gateways import bridge, carried, running_gateway
from benchmarks.load import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Turn
    from benchmarks.servers import Peer, Server

CLIENTS: Final = 10_000
MEMORY: Final = 4096
"""Bytes that the bridge may use for one client."""
FEW: Final = 10
SETTLING: Final = 0.5
"""Seconds until it has done what it does after the last record."""


def work(seconds: float, folder: Path) -> Work:  # noqa: ARG001
    """Look at push routes with and without answers, a new bridge for each round.

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
                    carried(server, broker, FEW)  # many would leave room for the clients
                    broker.empty_queue()
                    return _measure(server, broker)

            yield turn

    return Work(
        name="bridge-idle",
        title=f"idle: {CLIENTS:,} clients of a push route",
        unit="B each",
        reference=plain,
        peers=[gateway.peer() for gateway in gateways.values()],
        turns=turns,
        goals=[at_most(name, MEMORY, f"{MEMORY} B each") for name in gateways],
    )


def _measure(server: Server, broker: Broker) -> Reading:
    time.sleep(SETTLING)
    before = server.memory("RssAnon")
    with ExitStack() as clients:
        for _ in range(CLIENTS):
            client = socket.create_connection(("127.0.0.1", server.port))
            clients.enter_context(client).sendall(b"once\n")
        broker.require_messages(CLIENTS, server.peer.name)
        time.sleep(SETTLING)
        return Reading((server.memory("RssAnon") - before) / CLIENTS)
