"""``netdemo receive``"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred

from netdemo.address import parse_destination
from netdemo.amqp.consumer import MAX_PREFETCH, Consumer, Reject
from netdemo.amqp.destination import source
from netdemo.bridge.routes import PREFETCH
from netdemo.cli.connection import connected
from netdemo.cli.options import Options
from netdemo.cli.stdio import check_standard_output, silence
from netdemo.coercion import positive_integer
from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from netdemo.amqp.message import Delivery


class ReceiveOptions(Options):
    """Options of ``netdemo receive``."""

    synopsis = "DEST [--count N] [--prefetch N]"
    longdesc = (
        "Prints the body of each message and acknowledges it; with --count it ends after so "
        "many, without it when it is interrupted. The environment variable NETDEMO_BROKER names "
        "the broker. Example: netdemo receive /queue/log --count 10"
    )
    optParameters: list[list[Any]] = [
        [
            "count",
            None,
            None,
            "End after this many messages [default: never]",
            positive_integer("--count"),
        ],
        [
            "prefetch",
            None,
            PREFETCH,
            "Messages under way to us at once",
            positive_integer("--prefetch", MAX_PREFETCH),
        ],
    ]

    def parseArgs(self, destination: str) -> None:  # type: ignore[override]
        self["destination"] = parse_destination(destination)

    async def run(self, reactor: Any) -> None:
        """Receive what the options say."""
        check_standard_output()
        come_from = source(self["destination"])
        count = self["count"]
        printer = Printer(count)
        prefetch = min(self["prefetch"], count or self["prefetch"])
        try:
            async with connected(reactor) as client:
                await client.declare(come_from.topology)
                client.add(
                    Consumer(
                        come_from.queue,
                        printer.handle,
                        prefetch=prefetch,
                        topology=come_from.topology,
                    )
                )
                await printer.done
        except CancelledError:
            if count is not None:
                raise NetdemoError(
                    f"interrupted: {printer.printed} of {count} messages were printed"
                ) from None


class Printer:
    """Prints bodies on standard output, each with a newline after it.

    `done` fires after ``count`` of them, if that is not ``None``; those beyond it go back to the
    queue, and so do those that can't be written. It fails with `NetdemoError` when standard
    output can't be written, and with ``SystemExit`` when nobody reads it any more.
    """

    def __init__(self, count: int | None) -> None:
        self.done: Deferred[None] = Deferred()
        self.printed = 0
        self._count = count

    def handle(self, delivery: Delivery) -> None:
        """Print one message."""
        if self.done.called:
            raise Reject(requeue=True)
        try:
            sys.stdout.buffer.write(delivery.message.body + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._fail(SystemExit(1))
        except (OSError, ValueError) as error:  # a full disk; a file that was closed
            reason = getattr(error, "strerror", None) or error
            self._fail(NetdemoError(f"cannot write standard output: {reason}"))
        self.printed += 1
        if self.printed == self._count:
            self.done.callback(None)

    def _fail(self, error: BaseException) -> NoReturn:
        silence(1)
        self.done.errback(error)
        raise Reject(requeue=True)
