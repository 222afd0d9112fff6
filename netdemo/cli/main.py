"""``netdemo``: a client for every service."""

from __future__ import annotations

import sys

from twisted.internet.task import react
from twisted.python import usage

from netdemo.cli.messages import ReceiveOptions, SendOptions
from netdemo.errors import NetdemoError


class Options(usage.Options):
    """Options of ``netdemo``."""

    synopsis = "COMMAND [options]"
    longdesc = "Example: echo hello | netdemo send /queue/hello"
    subCommands = (
        ("send", None, SendOptions, "Publish a message, or each line of standard input"),
        ("receive", None, ReceiveOptions, "Print the messages of a destination"),
    )

    def postOptions(self) -> None:
        if self.subCommand is None:
            raise usage.UsageError("no command: expected send or receive")


def main() -> None:
    """Run one command; exit 0 when what it was asked for has happened, else 1 with one line."""
    options = Options()
    try:
        options.parseOptions()
    except (usage.UsageError, NetdemoError) as error:
        sys.exit(f"netdemo: {error}")

    async def run(reactor: object) -> None:
        try:
            await options.subOptions.run(reactor)
        except NetdemoError as error:
            raise SystemExit(f"netdemo {options.subCommand}: {error}") from None

    react(run)
