"""The bridge: programs that can only open a TCP socket send to RabbitMQ, and receive from it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import DeferredQueue
from twisted.protocols.basic import LineOnlyReceiver

from netdemo.address import QueueDestination
from netdemo.amqp import Queue, Topology
from netdemo.bridge.routes import PullRoute, PushRoute
from netdemo.bridge.service import bridge_service
from netdemo.connecting import connect
from netdemo.tour.checking import expect
from netdemo.tour.loopback import ENDPOINT, ports, running, way_to
from netdemo.tour.site import LEFTOVER, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from netdemo.tour.site import Site
    from netdemo.transport import IStreamTransport

RECORDS: Final = [b"first record", b"second record", b"third record"]


class LineClient(LineOnlyReceiver):
    """A plain TCP client, which knows of lines and of nothing else."""

    delimiter = b"\n"
    transport: IStreamTransport

    def __init__(self) -> None:
        self.lines: DeferredQueue[bytes] = DeferredQueue()

    def lineReceived(self, line: bytes) -> None:
        self.lines.put(line)


async def show(site: Site) -> str:
    """Push lines from one TCP client through the broker to another one."""
    queue = Queue(unique("bridge"), durable=True, auto_delete=True, arguments=LEFTOVER)
    destination = QueueDestination(queue.name, declare=False)
    routes = [
        PushRoute(destination, ENDPOINT, ack=True),
        PullRoute(destination, ENDPOINT, ack=True),
    ]
    async with site.client() as client:
        await client.declare(Topology(queues=(queue,)))
        async with running(bridge_service([site.url], routes, site.reactor)) as bridge:
            push_port, pull_port = ports(bridge)
            answers = await push(push_port, site)
            site.tell(f"pushed {len(RECORDS)} lines; the answers: {b', '.join(answers).decode()}")
            expect("answers to the pushed lines", answers, [b"OK"] * len(RECORDS))
            lines = await pull(pull_port, site)
            site.tell(f"pulled: {b', '.join(lines).decode()}")
    expect("pulled lines", lines, RECORDS)
    return f"{len(RECORDS)} lines pushed, each answered with OK; the same pulled by another client"


async def push(port: int, site: Site) -> list[bytes]:
    """Send all lines; return the answers."""
    async with connected(port, site) as client:
        for record in RECORDS:
            client.sendLine(record)
        return [await client.lines.get() for _ in RECORDS]


async def pull(port: int, site: Site) -> list[bytes]:
    """Receive as many lines, and acknowledge each."""
    lines = []
    async with connected(port, site) as client:
        for _ in RECORDS:
            lines.append(await client.lines.get())
            client.sendLine(b"ACK")
    return lines


@asynccontextmanager
async def connected(port: int, site: Site) -> AsyncIterator[LineClient]:
    """Lend a client that is connected, and close it when all is sent."""
    client = LineClient()
    await connect(way_to(port, site.reactor), client)
    try:
        yield client
    finally:
        client.transport.loseConnection()
