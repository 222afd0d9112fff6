"""Gateways: what takes lines from TCP and brings them to RabbitMQ, or brings them from there.

Each is a process that runs while the rounds last, on the core that is not the node's. Whoever
sends to it or reads from it runs where there is room, and does next to nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from threading import Thread
from typing import TYPE_CHECKING, Final

from benchmarks.commands import on_reactor
from benchmarks.load import LoadError, Reading
from benchmarks.peers.turn import QUEUE, bodies, url
from benchmarks.provision import SOURCES, amqp_publish_program, syslog_ng_program
from benchmarks.servers import CORES, Peer, bind_to_us, end, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.broker import Broker
    from benchmarks.servers import Server

LIMIT: Final = 120.0
"""Seconds until all that was sent is in the queue."""
POLL: Final = 0.01
"""Seconds between two looks into the queue."""
WARM_UP: Final = 5000


@dataclass(frozen=True)
class Gateway:
    """A name, and the command that serves on a port of its own, with a node on another."""

    name: str
    command: Callable[[int, int], list[str]]
    """Takes the node's port, then its own."""

    def peer(self, node: int = 0) -> Peer:
        """Return what it is in a comparison, and how it starts beside a node on that port."""
        return Peer(self.name, lambda port: self.command(node, port))


def bridge(kind: str, *options: str, reactor: str | None = None) -> Gateway:
    """Return ``twistd amqp-bridge`` with one route of that kind, named so."""
    twistd = [str(Path(sys.executable).with_name("twistd")), *on_reactor(reactor)]

    def line(node: int, port: int) -> list[str]:
        quiet = ["-n", "--pidfile=", f"--logfile=log-{port}"]
        route = [f"--{kind}", f"/queue/{QUEUE}@tcp:{port}:interface=127.0.0.1:backlog=1000"]
        return [*twistd, *quiet, "amqp-bridge", "--broker", url(node), *route, *options]

    shown = [Path(option).name if os.path.isabs(option) else option for option in options]
    name = ["amqp-bridge", f"--{kind}", *shown, *on_reactor(reactor)]
    return Gateway(" ".join(name), line)


def syslog_ng(folder: Path) -> Gateway:
    """Return syslog-ng with ``network()`` and ``amqp()``, flow control, persistent messages.

    :raises MissingError: when there is none.
    """
    program = str(syslog_ng_program())
    template = Template((SOURCES / "syslog-ng.conf").read_text())

    def line(node: int, port: int) -> list[str]:
        configuration = folder / "syslog-ng.conf"
        configuration.write_text(template.substitute(port=port, node=node, queue=QUEUE))
        own = [f"--{what}={folder / what}" for what in ("persist-file", "control", "pidfile")]
        return [program, "--foreground", "--no-caps", f"--cfgfile={configuration}", *own]

    return Gateway("syslog-ng, unconfirmed", line)


@contextmanager
def running_gateways(
    gateways: Sequence[Gateway], broker: Broker, folder: Path
) -> Iterator[dict[str, Server]]:
    """Run each of them, by its name, while the context lasts."""
    with ExitStack() as stack:
        yield {
            gateway.name: stack.enter_context(running_gateway(gateway, broker, folder))
            for gateway in gateways
        }


@contextmanager
def running_gateway(gateway: Gateway, broker: Broker, folder: Path) -> Iterator[Server]:
    """Run one while the context lasts."""
    with running(gateway.peer(broker.port), folder, CORES[-1]) as server:
        yield server


def carried(server: Server, broker: Broker, count: int = WARM_UP) -> Reading:
    """Have lines sent to `server`; the figure is the rate until all are in the queue.

    :raises LoadError: when they are not before long.
    """
    messages = bodies(count)
    broker.empty_queue()
    used, node_used = server.processor_time(), broker.processor_time()
    started = time.perf_counter()
    with sending(server, b"".join(body + b"\n" for body in messages)):
        seconds = _until_all_are_in(broker, server.peer.name, count, started)
        used = server.processor_time() - used
    node_used = broker.processor_time() - node_used
    _require_first(broker, server.peer.name, messages[0])
    return Reading(count / seconds, used / seconds, node_used / seconds)


def published_directly(peer: Peer, broker: Broker, count: int) -> Reading:
    """Have ``amqp-publish`` read lines from a file; the same of it, its start and login included.

    :raises LoadError: when they are not in the queue before long.
    """
    program, libraries = amqp_publish_program()
    command = [str(program), "-l", "-p", "-u", f"{url(broker.port)}%2F", "-r", QUEUE]
    broker.empty_queue()
    with tempfile.TemporaryFile() as lines:
        lines.writelines(body + b"\n" for body in bodies(count))
        lines.seek(0)
        node_used = broker.processor_time()
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=lines,
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
            preexec_fn=lambda: bind_to_us(CORES[-1]),
        )
        try:
            seconds = _until_all_are_in(broker, peer.name, count, started)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                end(process)
    node_used = broker.processor_time() - node_used
    used = usage.ru_utime + usage.ru_stime
    return Reading(count / seconds, used / seconds, node_used / seconds)


@contextmanager
def sending(server: Server, data: bytes) -> Iterator[None]:
    """Send `data` while the context lasts, which ends when the server has closed the connection.

    What is answered is read and dropped.
    """
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        threads = [
            Thread(target=_send, args=(connection, data)),
            Thread(target=_drop, args=(connection,)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        except BaseException:
            connection.shutdown(socket.SHUT_RDWR)
            raise
        finally:
            for thread in threads:
                thread.join()


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def _drop(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def _until_all_are_in(broker: Broker, whose: str, count: int, started: float) -> float:
    broker.require_messages(count, whose, limit=LIMIT, pause=POLL)
    return time.perf_counter() - started


def _require_first(broker: Broker, whose: str, expected: bytes) -> None:
    body = broker.channel.basic_get(QUEUE)[2]
    if body != expected:
        raise LoadError(f"{whose}: {body!r} is in the queue")
