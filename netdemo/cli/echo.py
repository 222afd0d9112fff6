"""``netdemo echo``"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.python import usage

from netdemo.cli.options import Options
from netdemo.cli.ping import MAX_PINGS, ping
from netdemo.cli.stdio import (
    StandardInput,
    StandardOutput,
    check_standard_input,
    check_standard_output,
    tell,
)
from netdemo.coercion import positive_integer
from netdemo.connecting import client_endpoint
from netdemo.echo import echo_client
from netdemo.errors import EchoError, NetdemoError

if TYPE_CHECKING:
    from netdemo.echo import EchoClient

SERVER = "tcp:127.0.0.1:1234"


class EchoOptions(Options):
    """Options of ``netdemo echo``."""

    synopsis = "[--connect ENDPOINT] [--ping N] [MESSAGE]"
    longdesc = (
        "Sends MESSAGE to an echo server and prints it when all of it is back. Without MESSAGE "
        "it sends standard input and writes what comes back to standard output. It exits with 0 "
        "when every byte came back. Example: tar c . | netdemo echo --connect example.org:7 | "
        "tar t"
    )
    optParameters: list[list[Any]] = [
        [
            "connect",
            None,
            SERVER,
            "The server: PORT, HOST:PORT, [IPv6]:PORT or a Twisted client endpoint",
        ],
        [
            "ping",
            None,
            None,
            "Measure so many round trips of 64 bytes, one after another",
            positive_integer("--ping", MAX_PINGS),
        ],
    ]

    def parseArgs(self, message: str | None = None) -> None:
        self["message"] = message

    def postOptions(self) -> None:
        from twisted.internet import reactor

        if self["ping"] is not None and self["message"] is not None:
            raise usage.UsageError("--ping sends messages of its own: expected no MESSAGE")
        self["endpoint"] = client_endpoint(self["connect"], reactor)

    async def run(self, reactor: Any) -> None:
        """Do what the options say."""
        check_standard_output()
        if self["ping"] is None and self["message"] is None:
            check_standard_input("bytes there, or MESSAGE")
        output = StandardOutput(reactor)
        try:
            async with echo_client(self["endpoint"], reactor) as client:
                try:
                    await self._use(client, output, reactor)
                except CancelledError:
                    count = f"{client.back} of {client.sent} bytes came back"
                    raise EchoError(f"interrupted: {count}") from None
        except EchoError as error:
            raise NetdemoError(f"{self['connect']}: {error}") from error
        finally:
            output.close()

    async def _use(self, client: EchoClient, output: StandardOutput, reactor: Any) -> None:
        if self["ping"] is not None:
            await ping(client, self["connect"], self["ping"], output)
        elif self["message"] is not None:
            await say(client, os.fsencode(self["message"]), output)
        else:
            if os.isatty(0):
                tell(f"connected to {self['connect']}; each line comes back, Ctrl-D ends")
            await stream(client, StandardInput(client, reactor), output)
        await client.close()


async def say(client: EchoClient, message: bytes, output: StandardOutput) -> None:
    """Send ``message``, and print it when it is back."""
    client.write(message)
    await client.when_back()
    output.write(b"Server said: " + message + b"\n")
    await output.flush()


async def stream(client: EchoClient, source: StandardInput, sink: StandardOutput) -> None:
    """Send what comes from ``source``, and write to ``sink`` what comes back, until all is there.

    Each waits for the slowest of them: the server for the sink, and the source for the server.
    """
    client.received = sink.write
    sink.registerProducer(client, True)

    async def send() -> None:
        await source.ended
        client.half_close()
        await client.when_back()
        await client.close()

    try:
        await _together(Deferred.fromCoroutine(send()), client.when_ended())
    except NetdemoError:
        # What came back is written in any case. If it can't be, that is why the client ended.
        await sink.flush()
        raise
    await sink.flush()


async def _together(*parts: Deferred[None]) -> None:
    """Wait for all ``parts``; at the first failure end the others, and raise it."""
    try:
        await gatherResults(parts, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    finally:
        for part in parts:
            part.cancel()
