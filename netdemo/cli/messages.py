"""``netdemo send`` and ``netdemo receive``"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from zope.interface import implementer

from netdemo.address import parse_destination
from netdemo.amqp.broker_url import BrokerURL, default_broker_url
from netdemo.amqp.client import AMQPClient
from netdemo.amqp.consumer import Consumer, Reject
from netdemo.amqp.destination import source, target
from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.window import Window
from netdemo.bridge.framing import LineFraming
from netdemo.bridge.routes import MAX_RECORD, PREFETCH
from netdemo.cli.options import Options, at_least_one
from netdemo.errors import ConnectionClosed, NetdemoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from netdemo.amqp.message import Delivery


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
        client = await _connected(reactor)
        to = target(self["destination"])
        await client.declare(to.topology)
        publisher = Publisher(to.topology)
        client.add(publisher)

        def publish(body: bytes) -> Deferred[None]:
            return publisher.publish(Message(body), to.exchange, to.routing_key, to.mandatory)

        if self["body"] is not None:
            await publish(os.fsencode(self["body"]))
        else:
            lines = LineSender(publish)
            StandardIO(lines, reactor=reactor)
            await lines.done
        await client.stopService()


@implementer(IHalfCloseableProtocol)
class LineSender(Protocol):
    """Publishes each line that it receives, and reads no further while its window is full.

    `done` fires when the input has ended and every message is confirmed; it fails with
    `NetdemoError` when one was not published, or a line is longer than 64 KiB.
    """

    transport: Any

    def __init__(self, publish: Callable[[bytes], Deferred[None]]) -> None:
        self.done: Deferred[None] = Deferred()
        self._publish = publish
        self._window = Window()
        self._failures: list[str] = []
        self._sent = 0

    def connectionMade(self) -> None:
        self._lines = LineFraming(self._send, self._too_long, MAX_RECORD)
        self._lines.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._lines.dataReceived(data)

    def readConnectionLost(self) -> None:
        """Take the last line and finish: the input has ended."""
        self._lines.finish()
        self._window.when_empty().addCallback(lambda _: self._finish())

    def writeConnectionLost(self) -> None:
        """Do nothing: nothing is written."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Do nothing: the end of the input has been seen."""

    def _send(self, line: bytes) -> None:
        self._sent += 1
        self._window.take(len(line))
        sending = self._publish(line)
        sending.addErrback(lambda failure: self._failures.append(failure.getErrorMessage()))
        sending.addBoth(lambda _: self._window.give_back(len(line)))
        if self._window.full:
            self._lines.pauseProducing()
            self._window.when_room().addCallback(lambda _: self._lines.resumeProducing())

    def _too_long(self) -> None:
        self._sent += 1
        self._failures.append(f"line {self._sent} is too long: expected at most {MAX_RECORD} bytes")
        self.transport.loseConnection()
        self._window.when_empty().addCallback(lambda _: self._finish())

    def _finish(self) -> None:
        if self.done.called:
            return
        if self._failures:
            failed = len(self._failures)
            self.done.errback(
                NetdemoError(f"{failed} of {self._sent} messages failed: {self._failures[0]}")
            )
        else:
            self.done.callback(None)


class ReceiveOptions(Options):
    """Options of ``netdemo receive``."""

    synopsis = "DEST [--count N] [--prefetch N]"
    longdesc = (
        "Prints the body of each message and acknowledges it; with --count it ends after so "
        "many. The environment variable NETDEMO_BROKER names the broker. "
        "Example: netdemo receive /queue/log --count 10"
    )
    optParameters: list[list[Any]] = [
        ["count", None, None, "End after this many messages [default: never]"],
        ["prefetch", None, str(PREFETCH), "Messages under way to us at once"],
    ]

    def parseArgs(self, destination: str) -> None:  # type: ignore[override]
        self["destination"] = parse_destination(destination)

    def postOptions(self) -> None:
        self["prefetch"] = at_least_one("--prefetch", self["prefetch"])
        if self["count"] is not None:
            self["count"] = at_least_one("--count", self["count"])

    async def run(self, reactor: Any) -> None:
        """Receive what the options say."""
        client = await _connected(reactor)
        come_from = source(self["destination"])
        await client.declare(come_from.topology)
        printer = Printer(self["count"])
        prefetch = min(self["prefetch"], self["count"] or self["prefetch"])
        client.add(
            Consumer(
                come_from.queue, printer.handle, prefetch=prefetch, topology=come_from.topology
            )
        )
        await printer.done
        await client.stopService()


class Printer:
    """Prints bodies on standard output, each with a newline after it.

    `done` fires after `count` of them, if that is not ``None``; those beyond it go back to the
    queue. It ends with `SystemExit` when nobody reads standard output any more.
    """

    def __init__(self, count: int | None) -> None:
        self.done: Deferred[None] = Deferred()
        self._left = count

    def handle(self, delivery: Delivery) -> None:
        """Print one message."""
        if self.done.called:
            raise Reject(requeue=True)
        try:
            sys.stdout.buffer.write(delivery.message.body + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Nothing must be written again when Python flushes it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.done.errback(SystemExit(1))
            raise Reject(requeue=True) from None
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self.done.callback(None)


async def _connected(reactor: Any) -> AMQPClient:
    """Return a running client, which ends with the reactor; a first failure is final."""
    broker = BrokerURL.parse(default_broker_url())
    client = AMQPClient([default_broker_url()], reactor)
    client.startService()
    reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
    try:
        await client.when_ready(fail_after_failures=1)
    except ConnectionClosed as error:
        raise NetdemoError(f"{broker}: {error}") from None
    return client
