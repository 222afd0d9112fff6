"""``netdemo send``"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from twisted.python import usage

from netdemo.address import parse_destination
from netdemo.amqp.channel import MAX_BODY
from netdemo.amqp.destination import target
from netdemo.amqp.message import PERSISTENT, TRANSIENT, Message
from netdemo.amqp.publisher import Publisher
from netdemo.cli.connection import connected
from netdemo.cli.lines import LineSender
from netdemo.cli.options import Options
from netdemo.cli.properties import PROPERTIES, parse_header, parse_property
from netdemo.cli.stdio import READ_SIZE, StandardInput, check_standard_input
from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

STANDARD_INPUT: Final = "-"


class SendOptions(Options):
    """Options of ``netdemo send``."""

    synopsis = (
        "DEST [BODY] [--file PATH] [--header NAME=VALUE]... [--property NAME=VALUE]... "
        "[--transient] [--no-mandatory]"
    )
    longdesc = (
        "Publishes BODY, or a file, or without both each line of standard input, and exits with "
        "0 when the broker has confirmed every message. Properties are "
        f"{', '.join(PROPERTIES)}. The environment variable NETDEMO_BROKER names the broker. "
        "Example: tail -f app.log | netdemo send /queue/log --property type=log"
    )
    optParameters: list[list[Any]] = [
        ["file", None, None, "Send this file as one message; - is standard input"],
    ]
    optFlags: list[list[Any]] = [
        ["transient", None, "Let the broker lose the messages when it restarts"],
        ["no-mandatory", None, "Let the broker drop what no queue takes"],
    ]
    compData = usage.Completions(optActions={"file": usage.CompleteFiles()})

    def __init__(self) -> None:
        super().__init__()
        self["headers"] = {}
        self["properties"] = {}

    def opt_header(self, header: str) -> None:
        """A header of the messages, NAME=VALUE, any number of times"""
        name, value = parse_header(header)
        self["headers"][name] = value

    def opt_property(self, text: str) -> None:
        """A property of the messages, NAME=VALUE, any number of times"""
        name, value = parse_property(text)
        self["properties"][name] = value

    def parseArgs(  # type: ignore[override]  # its arguments are the command's
        self, destination: str, body: str | None = None
    ) -> None:
        self["destination"] = parse_destination(destination)
        self["body"] = body

    def postOptions(self) -> None:
        if self["file"] is not None and self["body"] is not None:
            raise usage.UsageError("--file with BODY: expected one of them")

    def message(self, body: bytes) -> Message:
        """Return ``body`` with the headers and properties that the options say."""
        mode = TRANSIENT if self["transient"] else PERSISTENT
        headers = self["headers"] or None
        return Message(body, headers=headers, delivery_mode=mode, **self["properties"])

    async def run(self, reactor: Any) -> None:
        """Send what the options say."""
        to = target(self["destination"])
        mandatory = to.mandatory and not self["no-mandatory"]
        publisher = Publisher(to.topology)

        def publish(body: bytes) -> Deferred[None]:
            return publisher.publish(self.message(body), to.exchange, to.routing_key, mandatory)

        if self["body"] is None and self["file"] is None:
            check_standard_input("lines there, or BODY")
            body = None
        elif self["file"] is None:
            body = os.fsencode(self["body"])
        else:
            body = await _whole_file(self["file"], reactor)
        lines = LineSender(publish)
        try:
            async with connected(reactor, to.topology) as client:
                client.add(publisher)
                if body is None:
                    await _send_lines(lines, reactor)
                else:
                    await publish(body)
        except CancelledError:
            if body is not None:
                raise
            raise NetdemoError(
                f"interrupted: {lines.confirmed} of the {lines.sent} lines read were confirmed"
            ) from None


async def _send_lines(lines: LineSender, reactor: Any) -> None:
    """Send those of standard input; count them, on a terminal on which they are not typed."""
    source = StandardInput(lines, reactor)
    if sys.stderr is None or not sys.stderr.isatty() or os.isatty(0):
        await lines.send(source)
        return
    # Rich takes its time to be imported, which is not spent where nothing is shown.
    from netdemo.cli.progress import Bars, counting

    with Bars(sys.stderr, reactor, counting()) as bars:
        bar = bars.add("confirmed", lambda: lines.confirmed)
        try:
            await lines.send(source)
        except BaseException:
            bars.failed(bar)
            raise
        bars.done(bar)


async def _whole_file(path: str, reactor: Any) -> bytes:
    """Read a file in a thread: it may be a pipe, and be waited for."""
    if path == STANDARD_INPUT:
        check_standard_input("a message there")
    return await deferToThreadPool(reactor, reactor.getThreadPool(), read_file, path)


def read_file(path: str) -> bytes:
    """Return what is in the file at ``path``, or in standard input.

    :raises NetdemoError: when it can't be read, or is too long for a message.
    """
    body = bytearray()
    try:
        descriptor = 0 if path == STANDARD_INPUT else os.open(path, os.O_RDONLY)
        try:
            while piece := _read(descriptor):
                body += piece
                if len(body) > MAX_BODY:
                    raise NetdemoError(f"bad --file {path!r}: expected at most {MAX_BODY} bytes")
        finally:
            if descriptor:
                os.close(descriptor)
    except OSError as error:
        raise NetdemoError(f"cannot read --file {path!r}: {error.strerror}") from None
    return bytes(body)


def _read(descriptor: int) -> bytes:
    while True:
        select.select([descriptor], [], [])  # standard input may be non-blocking
        try:
            return os.read(descriptor, READ_SIZE)
        except BlockingIOError:  # another program was faster
            continue
