"""The commands of our servers and of their peers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, TypeVar

from benchmarks.provision import (
    SOURCES,
    MissingError,
    amqp_publish_program,
    clients_python,
    compiled,
    nginx,
    uvloop_python,
)
from benchmarks.servers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


def ours(command: str, *options: str, reactor: str | None = None) -> Peer:
    """Return ``twistd [--reactor REACTOR] COMMAND OPTIONS``, named so."""
    twistd = [str(Path(sys.executable).with_name("twistd")), *on_reactor(reactor)]

    def line(port: int) -> list[str]:
        listen = f"tcp:{port}:interface=127.0.0.1"
        quiet = ["-n", "--pidfile=", f"--logfile=log-{port}"]
        return [*twistd, *quiet, command, *options, "--listen", listen]

    shown = [Path(option).name if os.path.isabs(option) else option for option in options]
    return Peer(" ".join(["twistd", *on_reactor(reactor), command, *shown]), line)


def on_reactor(reactor: str | None) -> list[str]:
    """Return the options with which twistd runs on `reactor`, or on its default one."""
    return [] if reactor is None else ["--reactor", reactor]


def script(name: str, program: str, *arguments: str, python: Path | None = None) -> Peer:
    """Return ``peers/PROGRAM PORT ARGUMENTS``, under this interpreter or `python`."""
    interpreter = str(python or sys.executable)
    path = str(SOURCES / "peers" / program)
    return Peer(name, lambda port: [interpreter, path, str(port), *arguments])


def stock_echo() -> Peer:
    """Return the echo of Twisted's documentation."""
    return script("stock Twisted", "stock_echo.py")


def eager(name: str, program: str, *arguments: str) -> Peer:
    """Return a program of ``peers`` that uses Twisted, on the eager reactor."""
    return script(name, "on_reactor.py", "eager", program, *arguments)


def c_echo() -> Peer:
    """Return the echo in C; its rate is as much as the load can measure."""
    program = compiled("echo_server")
    return Peer("C epoll", lambda port: [str(program), str(port)])


def uvloop_echo() -> Peer:
    """Return `asyncio.Protocol` on uvloop.

    :raises MissingError: when uvloop can't be had.
    """
    return script("uvloop", "asyncio_echo.py", "uvloop", python=uvloop_python())


def nginx_of(file: Path) -> Peer:
    """Return an nginx that sends `file`; its folder is also nginx's own.

    :raises MissingError: when nginx can't be had.
    """
    program = nginx()
    template = Template((SOURCES / "nginx.conf").read_text())
    user = "" if os.geteuid() else "user root;"  # else its worker could not read the folder

    def line(port: int) -> list[str]:
        configuration = file.with_name("nginx.conf")
        configuration.write_text(template.substitute(port=port, folder=file.parent, user=user))
        return [str(program), "-p", str(file.parent), "-c", str(configuration), "-e", "stderr"]

    request = f"GET /{file.name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return Peer("nginx", line, request)


def client(name: str, program: str, *more: str | int, python: Path | None = None) -> Peer:
    """Return ``peers/PROGRAM.py PORT MORE``, a client of the broker on that port."""
    module = f"benchmarks.peers.{program}"
    line = [str(python or sys.executable), "-m", module]
    return Peer(name, lambda port: [*line, str(port), *map(str, more)])


def python_client(name: str, program: str, *more: str | int) -> Peer:
    """Return a client like ours of another library.

    :raises MissingError: when the libraries can't be had.
    """
    return client(name, program, *more, python=clients_python())


def amqp_publish(count: int) -> Peer:
    """Return the publisher of rabbitmq-c.

    :raises MissingError: when it can't be had.
    """
    name = "amqp-publish -l (C), unconfirmed"
    return client(name, "c_publish", count, *map(str, amqp_publish_program()))


def available(makers: Mapping[str, Callable[[], T]]) -> list[T]:
    """Return the peers that can be had here, with one line for each that can't."""
    peers = []
    for name, make in makers.items():
        try:
            peers.append(make())
        except MissingError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return peers
