"""Peers that are clients of a RabbitMQ node of the benchmark's own, one after the other.

The node has the core that servers have, the peer the other. Its data are in memory, where Linux
has ``/dev/shm``: it is not the disk that is measured. Every turn begins with a new queue, and what
is in it at the end is counted: a peer's own word is not enough.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pika

from benchmarks.load import LoadError, Reading
from benchmarks.peers.turn import QUEUE, url
from benchmarks.provision import SOURCES, MissingError
from benchmarks.servers import CORES, bind_to_us, end
from tests.rabbitmq import PROGRAMS, RabbitMQNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from benchmarks.servers import Peer

LIMIT: Final = 120.0
"""Seconds that a peer may take from its start to its end."""
MEMORY: Final = Path("/dev/shm")
SETTLING: Final = 30.0
"""Seconds until what was published without confirms is in the queue."""


def require_rabbitmq() -> None:
    """Look whether there is one to be started.

    :raises MissingError: when there is not.
    """
    if not (PROGRAMS / "rabbitmq-server").exists():
        raise MissingError(f"no RabbitMQ in {PROGRAMS}: install the package rabbitmq-server")


@contextmanager
def running_broker() -> Iterator[Broker]:
    """Run a node while the context lasts."""
    parent = MEMORY if os.access(MEMORY, os.W_OK) else None
    node = RabbitMQNode(parent, before_exec=lambda: bind_to_us(CORES[0]))
    try:
        node.start()
        parameters = pika.URLParameters(f"{url(node.port)}?heartbeat=0")
        yield Broker(node, pika.BlockingConnection(parameters).channel())
    finally:
        node.remove()


class Broker:
    """The node, and its one queue."""

    def __init__(self, node: RabbitMQNode, channel: BlockingChannel) -> None:
        self._node = node
        self._channel = channel

    def empty_queue(self) -> None:
        """Have a new one."""
        self._channel.queue_delete(QUEUE)
        self._channel.queue_declare(QUEUE, durable=True)

    def require_messages(self, count: int, whose: str) -> None:
        """Look whether so many are in the queue, ready, or come into it before long.

        :raises LoadError: when they are not.
        """
        deadline = time.monotonic() + SETTLING
        while True:
            found = self._channel.queue_declare(QUEUE, passive=True).method.message_count
            if found == count:
                return
            if found > count or time.monotonic() > deadline:
                raise LoadError(f"{whose}: {found:,} messages in the queue, expected {count:,}")
            time.sleep(0.1)

    @contextmanager
    def served_by(self, server: Peer) -> Iterator[None]:
        """Have `server` consume from the queue while the context lasts, on the core of the peer.

        :raises LoadError: when it does not before long.
        """
        process = _started(server, self._node.port)
        deadline = time.monotonic() + SETTLING
        try:
            while not self._channel.queue_declare(QUEUE, passive=True).method.consumer_count:
                if process.poll() is not None:
                    raise LoadError(f"{server.name}: {process.communicate()[1].strip()}")
                if time.monotonic() > deadline:
                    raise LoadError(f"{server.name} does not consume")
                time.sleep(0.05)
            yield
        finally:
            end(process)

    def turn_of(self, peer: Peer, count: int) -> tuple[dict[str, float], float]:
        """Let `peer` work; return what it tells, and how busy the node was meanwhile."""
        before = self._node.processor_time()
        told = told_by(peer, self._node.port, count)
        return told, (self._node.processor_time() - before) / told["seconds"]


def told_by(peer: Peer, port: int, count: int) -> dict[str, float]:
    """Run `peer`, which shall do `count` things, to its end, and return what it tells.

    :raises LoadError: when it fails, or has done fewer.
    """
    process = _started(peer, port)
    try:
        written, complaint = process.communicate(timeout=LIMIT)
    finally:
        end(process)
    if process.returncode:
        raise LoadError(f"{peer.name}: {complaint.strip() or process.returncode}")
    try:
        told: dict[str, float] = json.loads(written)
    except ValueError:
        raise LoadError(f"{peer.name}: {written!r} is not what was asked") from None
    if told["count"] != count:
        raise LoadError(f"{peer.name}: {told['count']:,} of {count:,}")
    return told


def _started(peer: Peer, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        peer.command(port),
        cwd=SOURCES.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: bind_to_us(CORES[-1]),
    )


def reading_of(told: dict[str, float], node_busy: float) -> Reading:
    """Return the rate of a turn."""
    seconds = told["seconds"]
    return Reading(told["count"] / seconds, told["processor"] / seconds, node_busy)
