"""Peers that are clients of a broker of the benchmark's own, RabbitMQ or ours, one after the other.

The broker has the core that servers have, the peer the other. Its data are in memory, where Linux
has ``/dev/shm``: it is not the disk that is measured. Every turn begins with a new queue, and what
is in it at the end is counted: a peer's own word is not enough.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pika

from benchmarks.commands import ours
from benchmarks.load import LoadError, Reading
from benchmarks.peers.turn import QUEUE, url
from benchmarks.provision import SOURCES, MissingError
from benchmarks.servers import CORES, bind_to_us, end, running
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
    node = RabbitMQNode(_folder_in_memory(), before_exec=lambda: bind_to_us(CORES[0]))
    try:
        node.start()
        yield Broker(node, _channel_to(node.port))
    finally:
        node.remove()


@contextmanager
def running_our_broker(reactor: str | None = None) -> Iterator[Broker]:
    """Run a broker of ours, with a store where a node of RabbitMQ has its data."""
    with (
        tempfile.TemporaryDirectory(prefix="netdemo-broker-", dir=_folder_in_memory()) as folder,
        running(
            ours("amqp-broker", "--store", f"{folder}/store", reactor=reactor), Path(folder)
        ) as server,
    ):
        yield Broker(server, _channel_to(server.port))


def _folder_in_memory() -> Path | None:
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def _channel_to(port: int) -> BlockingChannel:
    return pika.BlockingConnection(pika.URLParameters(f"{url(port)}?heartbeat=0")).channel()


class Node(Protocol):
    """The process, or processes, of a broker."""

    port: int

    def processor_time(self) -> float:
        """Return the seconds of processor time that it has used."""

    def memory(self, field: str) -> int:
        """Return `field` of ``/proc/PID/status`` in bytes."""


class Broker:
    """The node, and its one queue; whoever needs more has it declared on `channel`."""

    def __init__(self, node: Node, channel: BlockingChannel) -> None:
        self._node = node
        self.channel = channel

    def empty_queue(self) -> None:
        """Have a new one."""
        self.channel.queue_delete(QUEUE)
        self.channel.queue_declare(QUEUE, durable=True)

    @property
    def port(self) -> int:
        """Where the node listens."""
        return self._node.port

    def processor_time(self) -> float:
        """Return the seconds of processor time that the node has used."""
        return self._node.processor_time()

    def peak_memory(self) -> int:
        """Return the most memory that it ever had resident, in bytes."""
        return self._node.memory("VmHWM")

    def require_messages(
        self,
        count: int,
        whose: str,
        queue: str = QUEUE,
        limit: float = SETTLING,
        pause: float = 0.1,
    ) -> None:
        """Look whether so many are in a queue, ready, or come into it in `limit` seconds.

        :raises LoadError: when they are not.
        """
        deadline = time.monotonic() + limit
        while True:
            found = self.channel.queue_declare(queue, passive=True).method.message_count
            if found == count:
                return
            if found > count or time.monotonic() > deadline:
                raise LoadError(f"{whose}: {found:,} messages in the queue, expected {count:,}")
            time.sleep(pause)

    @contextmanager
    def served_by(self, server: Peer) -> Iterator[None]:
        """Have `server` consume from the queue while the context lasts, on the core of the peer.

        :raises LoadError: when it does not before long.
        """
        process = _started(server, self._node.port)
        deadline = time.monotonic() + SETTLING
        try:
            while not self.channel.queue_declare(QUEUE, passive=True).method.consumer_count:
                if process.poll() is not None:
                    raise LoadError(f"{server.name}: {process.communicate()[1].strip()}")
                if time.monotonic() > deadline:
                    raise LoadError(f"{server.name} does not consume")
                time.sleep(0.05)
            yield
        finally:
            end(process)

    def turn_of(
        self, peer: Peer, count: int, limit: float = LIMIT
    ) -> tuple[dict[str, float], float]:
        """Let `peer` work; return what it tells, and how busy the node was meanwhile."""
        before = self._node.processor_time()
        told = told_by(peer, self._node.port, count, limit)
        return told, (self._node.processor_time() - before) / told["seconds"]


def told_by(peer: Peer, port: int, count: int, limit: float = LIMIT) -> dict[str, float]:
    """Run `peer`, which shall do `count` things, to its end, and return what it tells.

    :raises LoadError: when it fails, or has done fewer.
    """
    process = _started(peer, port)
    try:
        written, complaint = process.communicate(timeout=limit)
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


def reading_of_broker(told: dict[str, float], node_busy: float, each: int = 1) -> Reading:
    """Return the rate of a turn in which it is the broker that is measured.

    It did `each` things for one of the client's.
    """
    rate = reading_of(told, node_busy)
    return Reading(rate.figure * each, node_busy, rate.busy)


def reading_of_calls(broker: Broker, caller: Peer, server: Peer, count: int, name: str) -> Reading:
    """Return the times of a turn of remote calls, in microseconds; `name` is whose turn it is."""
    broker.empty_queue()
    with broker.served_by(server):
        told, _ = broker.turn_of(caller, count)
    broker.require_messages(0, name)
    return Reading(told["p50"] * 1e6, p99=told["p99"] * 1e6)
