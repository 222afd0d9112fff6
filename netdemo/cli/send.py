"""``netdemo send``"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from zope.interface import implementer

from netdemo.address import parse_destination
from netdemo.amqp.destination import target
from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.window import Window
from netdemo.bridge.framing import LineFraming
from netdemo.bridge.records import Records
from netdemo.bridge.routes import MAX_RECORD
from netdemo.cli.connection import connected
from netdemo.cli.options import Options
from netdemo.cli.stdio import check_standard_input
from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from netdemo.bridge.framing import RecordRefused


class SendOptions(Options):
    """Options of ``netdemo send``."""

    synopsis = "DEST [BODY]"
    longdesc = (
        "Publishes BODY, or without it each line of standard input, and exits with 0 when "
        "RabbitMQ has confirmed every message. The environment variable NETDEMO_BROKER names "
        "the broker. Example: tail -f app.log | netdemo send /queue/log"
    )

    def parseArgs(  # type: ignore[override]  # its arguments are the command's
        self, destination: str, body: str | None = None
    ) -> None:
        self["destination"] = parse_destination(destination)
        self["body"] = body

    async def run(self, reactor: Any) -> None:
        """Send what the options say."""
        to = target(self["destination"])
        publisher = Publisher(to.topology)

        def publish(body: bytes) -> Deferred[None]:
            return publisher.publish(Message(body), to.exchange, to.routing_key, to.mandatory)

        async def send(what: Callable[[], Deferred[None]]) -> None:
            async with connected(reactor) as client:
                await client.declare(to.topology)
                client.add(publisher)
                await what()

        if self["body"] is not None:
            await send(lambda: publish(os.fsencode(self["body"])))
            return
        check_standard_input("lines there, or BODY")
        lines = LineSender(publish)
        try:
            await send(lambda: lines.read_standard_input(reactor))
        except CancelledError:
            raise NetdemoError(
                f"interrupted: {lines.confirmed} of the {lines.sent} lines read were confirmed"
            ) from None


@implementer(IHalfCloseableProtocol)
class LineSender(Protocol):
    """Publishes each line that it receives, and reads no further while its window is full.

    `done` fires when the input has ended and every message is confirmed; it fails with
    `NetdemoError` when one was not published, or a line is longer than 64 KiB. Cancelling it
    ends the reading.
    """

    transport: Any

    def __init__(self, publish: Callable[[bytes], Deferred[None]]) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self.transport.loseConnection())
        self.sent = self.confirmed = 0
        self._publish = publish
        self._window = Window()
        self._failures: list[str] = []

    def read_standard_input(self, reactor: Any) -> Deferred[None]:
        """Take the lines there; return `done`."""
        # Standard output would become non-blocking, and others may be writing to it.
        nothing = os.open(os.devnull, os.O_RDWR)
        StandardIO(self, stdout=nothing, reactor=reactor)  # type: ignore[call-arg]  # as on Windows
        return self.done

    def connectionMade(self) -> None:
        self._lines = Records(LineFraming, self._send, self._too_long, MAX_RECORD)

    def dataReceived(self, data: bytes) -> None:
        self._lines.data_received(data)

    def readConnectionLost(self) -> None:
        """Take the last line and finish: the input has ended."""
        self._lines.resume()
        self._lines.finish()
        self._window.when_empty().addCallback(lambda _: self._finish())

    def writeConnectionLost(self) -> None:
        """Do nothing: nothing is written."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Do nothing: the end of the input has been seen."""

    def _send(self, line: bytes) -> None:
        self.sent += 1
        self._window.take(len(line))
        sending = self._publish(line)
        sending.addCallbacks(lambda _: self._confirmed(), self._failed)
        sending.addCallback(lambda _: self._window.give_back(len(line)))
        if self._window.full:
            self._lines.paused = True
            self.transport.pauseProducing()
            self._window.when_room().addCallback(lambda _: self._resume())

    def _confirmed(self) -> None:
        self.confirmed += 1

    def _failed(self, failure: Failure) -> None:
        self._failures.append(failure.getErrorMessage())

    def _resume(self) -> None:
        if not self.done.called:
            self.transport.resumeProducing()
            self._lines.resume()

    def _too_long(self, _: RecordRefused) -> None:
        self.sent += 1
        self._failures.append(f"line {self.sent} is too long: expected at most {MAX_RECORD} bytes")
        self.transport.loseConnection()
        self._window.when_empty().addCallback(lambda _: self._finish())

    def _finish(self) -> None:
        if self.done.called:
            return
        if self._failures:
            failed = len(self._failures)
            self.done.errback(
                NetdemoError(f"{failed} of {self.sent} messages failed: {self._failures[0]}")
            )
        else:
            self.done.callback(None)
