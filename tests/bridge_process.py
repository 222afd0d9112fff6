"""The bridge as ``twistd amqp-bridge`` in a process of its own, killed and started as wanted."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.processes import PATIENCE, PROGRAMS, Process

if TYPE_CHECKING:
    import signal
    from pathlib import Path

APPLICATION = """\
from twisted.application.service import Application
from twisted.internet import reactor

from netdemo.address import QueueDestination
from netdemo.bridge.routes import PullRoute, PushRoute
from netdemo.bridge.service import bridge_service

application = Application("bridge")
bridge_service([{url!r}], {routes!r}, reactor).setServiceParent(application)
"""
"""A program that embeds the bridge, for what has no option."""


class BridgeProcess:
    """A bridge to the broker at `url`, with its files in `folder`.

    It may be started and killed again and again; `lines` is what it has written all the time.
    """

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        self.lines: list[str] = []
        self._folder = folder
        self._arguments: tuple[str, ...] = ("amqp-bridge", f"--broker={url}", *options)
        self._process: Process | None = None

    def embed(self, url: str, *routes: object) -> None:
        """Be a program that embeds a bridge with `routes`."""
        program = self._folder / "bridge.tac"
        program.write_text(APPLICATION.format(url=url, routes=routes))
        self._arguments = ("-y", str(program))

    def start(self) -> None:
        """Start it; return when it is connected to its broker."""
        command = (str(PROGRAMS / "twistd"), "-n", "--pidfile=", *self._arguments)
        self._process = Process(*command, cwd=self._folder)
        self._process.wait_for("ready")

    @property
    def pid(self) -> int:
        """The id of its process, which must run."""
        assert self._process is not None
        return self._process.pid

    def wait_for(self, text: str) -> str:
        """Return the next line of its output with `text` in it."""
        assert self._process is not None
        return self._process.wait_for(text)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.signal(number)

    def wait(self) -> int:
        """Return its exit status when it has ended."""
        assert self._process is not None
        return self._process.wait()

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.remove()
            self.lines += process.lines


def connected_to(port: int) -> socket.socket:
    """Return a connection to a port of the loopback."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def read(connection: socket.socket, size: int) -> bytes:
    """Return the next `size` bytes, or less at the end."""
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return all that comes, or came before the connection was reset."""
    pieces: list[bytes] = []
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)
