"""``netdemo receive``"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.python import usage

from netdemo.address import parse_destination
from netdemo.amqp.consumer import MAX_PREFETCH, Consumer
from netdemo.amqp.destination import source
from netdemo.bridge.routes import PREFETCH
from netdemo.cli.connection import acknowledged, connected, when_accepted
from netdemo.cli.message_json import json_line
from netdemo.cli.options import Options
from netdemo.cli.receiver import Printer, body_line
from netdemo.cli.shell import ShellCommand
from netdemo.cli.stdio import StandardOutput, check_standard_output
from netdemo.cli.worker import LATER, MAX_PARALLEL, Worker
from netdemo.coercion import one_of, positive_integer
from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.amqp.message import Delivery
    from netdemo.cli.receiver import Receiver

FORMATS: Final[dict[str, Callable[[Delivery], bytes]]] = {"body": body_line, "json": json_line}


class ReceiveOptions(Options):
    """Options of ``netdemo receive``."""

    synopsis = (
        "DEST [--count N] [--prefetch N] [--format body|json] [--exec COMMAND [--parallel N]]"
    )
    longdesc = (
        "Prints the body of each message and acknowledges it; with --count it ends after so "
        "many, without it when it is interrupted. With --exec it runs a line of shell for each, "
        "with the body on its standard input: exit status 0 acknowledges the message, "
        f"{LATER} gives it back to the queue, any other rejects it. The environment variable "
        "NETDEMO_BROKER names the broker. "
        "Example: netdemo receive /queue/mail --exec 'sendmail -t' --parallel 4"
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
            None,
            f"Messages under way to us at once [default: {PREFETCH}]",
            positive_integer("--prefetch", MAX_PREFETCH),
        ],
        [
            "format",
            None,
            None,
            "Print the body, or all there is of the message as a line of JSON [default: body]",
            one_of("--format", FORMATS),
        ],
        ["exec", None, None, "Run this with /bin/sh for each message"],
        [
            "parallel",
            None,
            None,
            "Run so many of it at once, each for a message [default: 1]",
            positive_integer("--parallel", MAX_PARALLEL),
        ],
    ]
    compData = usage.Completions(optActions={"format": usage.CompleteList(FORMATS)})

    def parseArgs(self, destination: str) -> None:  # type: ignore[override]
        self["destination"] = parse_destination(destination)

    def postOptions(self) -> None:
        if self["exec"] is None and self["parallel"] is not None:
            raise usage.UsageError("--parallel without --exec: expected both")
        if self["exec"] is not None:
            for name in ("prefetch", "format"):
                if self[name] is not None:
                    raise usage.UsageError(f"--{name} with --exec: expected one of them")

    async def run(self, reactor: Any) -> None:
        """Receive what the options say."""
        check_standard_output()
        if self["exec"] is None:
            render = FORMATS[self["format"] or "body"]
            with closing(StandardOutput(reactor)) as output:
                printer = Printer(self["count"], render, output)
                await self._receive(printer, self["prefetch"] or PREFETCH, reactor)
            return
        command = ShellCommand(self["exec"], reactor)
        await command.check()
        try:
            worker = Worker(self["count"], command, reactor)
            await self._receive(worker, self["parallel"] or 1, reactor)
        finally:
            command.stop()

    async def _receive(self, receiver: Receiver, prefetch: int, reactor: Any) -> None:
        count = self["count"]
        come_from = source(self["destination"])
        consumer = Consumer(
            come_from.queue,
            receiver.handle,
            prefetch=min(prefetch, count or prefetch),
            topology=come_from.topology,
        )
        consumer.add_status_listener(receiver.heard)
        try:
            async with connected(reactor, come_from.topology) as client:
                try:
                    client.add(consumer)
                    await when_accepted(consumer)
                    await receiver.done
                    await deferLater(reactor, 0)  # the last is acknowledged in this turn
                    await acknowledged(client, come_from.topology)
                finally:
                    receiver.stop()
        except CancelledError:
            if count is not None:
                done = f"{receiver.accepted} of {count} messages were acknowledged"
                raise NetdemoError(f"interrupted: {done}") from None
        if count is not None and receiver.rejected:
            raise NetdemoError(f"{receiver.rejected} of {count} messages were rejected")
