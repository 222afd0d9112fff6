"""Many TCP clients of a bridge in a process of its own: some never read, some vanish."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from tests.processes import PROGRAMS, Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BRIDGE = """\
from ipaddress import ip_network
from twisted.application.service import Application
from twisted.internet import reactor
from netdemo.address import parse_destination
from netdemo.bridge.routes import PullRoute, SubscribeRoute
from netdemo.bridge.service import bridge_service

application = Application("bridge")
route = {route}(
    parse_destination({destination!r}), "tcp:{port}:interface=127.0.0.1", **{options!r}
)
bridge_service([{url!r}], [route], reactor).setServiceParent(application)
"""


def bridge_process(
    folder: Path, url: str, route: str, destination: str, port: int, **options: Any
) -> Process:
    """Start ``twistd`` with a bridge of one route, which has `options`; return when it listens."""
    program = folder / "bridge.tac"
    program.write_text(
        BRIDGE.format(route=route, destination=destination, port=port, options=options, url=url)
    )
    process = Process(PROGRAMS / "twistd", "-n", "--pidfile=", "-y", program, cwd=folder)
    process.wait_for("Factory starting")
    return process


class Reader(LineOnlyReceiver):
    """Tells `seen` of each line, and answers it where `acks` says so."""

    MAX_LENGTH = 1_000_000
    delimiter = b"\n"

    def __init__(self, seen: Callable[[Reader, bytes], None], acks: bool = False) -> None:
        self.lines = 0
        self.made: Deferred[None] = Deferred()
        self.over: Deferred[None] = Deferred()
        self._seen = seen
        self._acks = acks

    def connectionMade(self) -> None:
        self.made.callback(None)

    def lineReceived(self, line: bytes) -> None:
        self.lines += 1
        self._seen(self, line)
        if self._acks:
            self.sendLine(b"ACK")

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002
        self.over.callback(None)


class Sleeper(Reader):
    """Never reads."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.pauseProducing()  # type: ignore[union-attr]


class Vanisher(Reader):
    """Vanishes at random: in the middle of its lines, without a word."""

    patience = 20

    def connectionMade(self) -> None:
        super().connectionMade()
        self._until = random.randrange(1, self.patience)
        self._numbers = count(1)

    def lineReceived(self, line: bytes) -> None:
        if next(self._numbers) < self._until:
            super().lineReceived(line)
        elif self.connected:
            self.connected = 0
            self.transport.abortConnection()  # type: ignore[union-attr]


class Crowd:
    """Clients on real sockets of a reactor; `end` them all in the end."""

    def __init__(self, reactor: Any, port: int) -> None:
        self._reactor = reactor
        self._port = port
        self.clients: list[Reader] = []

    async def connect(self, make: Callable[[], Reader], how_many: int) -> None:
        """Connect so many clients; return when they are."""
        new = [make() for _ in range(how_many)]
        self.clients += new
        for client in new:
            self._reactor.connectTCP("127.0.0.1", self._port, _Once(client))
        for client in new:
            await client.made

    async def end(self) -> None:
        """End all connections."""
        for client in self.clients:
            if client.made.called and not client.over.called:
                client.transport.abortConnection()  # type: ignore[union-attr]
                await client.over


class _Once(Factory):
    noisy = False

    def __init__(self, protocol: Reader) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Reader:  # noqa: ARG002
        return self._protocol

    def startedConnecting(self, connector: object) -> None:
        """Do nothing."""

    def clientConnectionFailed(self, connector: object, reason: Any) -> None:  # noqa: ARG002
        self._protocol.made.errback(reason)

    def clientConnectionLost(self, connector: object, reason: object) -> None:
        """Do nothing."""
