"""``netdemo serve``"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python import usage

from netdemo.address import parse_destination
from netdemo.amqp.consumer import PREFETCH, Reject
from netdemo.amqp.destination import source
from netdemo.amqp.rpc import MAX_REPLY, RPCServer
from netdemo.cli.connection import connected, when_accepted
from netdemo.cli.fibonacci import serve_fibonacci
from netdemo.cli.options import Options
from netdemo.cli.shell import OutputTooLong, ShellCommand
from netdemo.cli.stdio import tell
from netdemo.cli.worker import MAX_PARALLEL, MessageCommand
from netdemo.coercion import positive_integer
from netdemo.errors import NetdemoError, RemoteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from netdemo.amqp.message import Delivery
    from netdemo.amqp.rpc import CallHandler


class ServeOptions(Options):
    """Options of ``netdemo serve``."""

    synopsis = "DEST (--fib | --exec COMMAND) [--parallel N]"
    longdesc = (
        "Serves calls over RabbitMQ until it is interrupted. --fib is the worker of RabbitMQ's "
        "tutorial: it replies with the Fibonacci number that is asked for. --exec runs a line of "
        "shell for each call, with the request on its standard input; what it prints, up to "
        f"{MAX_REPLY} bytes, is the reply, and an exit status other than 0 is an error for the "
        "caller. The environment variable NETDEMO_BROKER names the broker. "
        "Example: netdemo serve /queue/upper --exec 'tr a-z A-Z' --parallel 4"
    )
    optFlags: list[list[Any]] = [["fib", None, "Reply with Fibonacci numbers"]]
    optParameters: list[list[Any]] = [
        ["exec", None, None, "Run this with /bin/sh for each call"],
        [
            "parallel",
            None,
            PREFETCH,
            "Calls that are served at once",
            positive_integer("--parallel", MAX_PARALLEL),
        ],
    ]

    def parseArgs(self, destination: str) -> None:  # type: ignore[override]
        self["destination"] = parse_destination(destination)

    def postOptions(self) -> None:
        if bool(self["fib"]) == (self["exec"] is not None):
            raise usage.UsageError("expected --fib or --exec, one of them")

    async def run(self, reactor: Any) -> None:
        """Serve until it is interrupted."""
        with suppress(CancelledError):
            if self["fib"]:
                async with self._serving(serve_fibonacci, reactor):
                    await Deferred[None]()
            else:
                await self._serve_command(reactor)

    async def _serve_command(self, reactor: Any) -> None:
        command = ShellCommand(self["exec"], reactor, MAX_REPLY)
        await command.check()
        replier = Replier(command, reactor)
        try:
            async with self._serving(replier.reply, reactor):
                try:
                    await replier.failed
                finally:
                    replier.stop()
        finally:
            command.stop()

    @asynccontextmanager
    async def _serving(self, handler: CallHandler, reactor: Any) -> AsyncIterator[None]:
        come_from = source(self["destination"])
        async with connected(reactor, come_from.topology) as client:
            server = RPCServer(
                client,
                come_from.queue,
                handler,
                prefetch=self["parallel"],
                topology=come_from.topology,
            )
            await when_accepted(server.consumer)
            if sys.stderr is not None and sys.stderr.isatty():
                tell(f"serving calls to {self['destination']}; Ctrl-C ends it")
            yield


class Replier:
    """Replies to calls with what a command makes of them.

    `failed` fails with `NetdemoError` when it can't be started, and never fires.
    """

    def __init__(self, command: ShellCommand, reactor: Any) -> None:
        self.failed: Deferred[None] = Deferred()
        self._command = MessageCommand(command, reactor)

    async def reply(self, delivery: Delivery) -> bytes:
        """Return the output of the command; an `RPCServer` calls it.

        :raises RemoteError: when the command fails, or prints too much.
        """
        try:
            ended = await self._command.run(delivery)
        except OutputTooLong as error:
            raise _told(str(error)) from None
        except NetdemoError as error:
            if not self.failed.called:
                self.failed.errback(error)
            raise Reject(requeue=True) from None
        if ended.status != 0:
            raise _told(str(ended))
        return ended.output

    def stop(self) -> None:
        """Give back the calls whose commands fail from now on: they were interrupted, too."""
        self._command.stop()


def _told(text: str) -> RemoteError:
    error = RemoteError(text)
    tell(f"netdemo serve: {error}")
    return error
