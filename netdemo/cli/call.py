"""``netdemo call``"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

from twisted.python import usage

from netdemo.address import parse_destination
from netdemo.amqp.destination import target
from netdemo.amqp.rpc import CALL_TIMEOUT, MAX_TIMEOUT, RPCClient
from netdemo.cli.connection import connected
from netdemo.cli.options import Options
from netdemo.cli.stdio import StandardOutput, check_standard_output
from netdemo.coercion import positive_number


class CallOptions(Options):
    """Options of ``netdemo call``."""

    synopsis = "DEST BODY [--timeout S]"
    longdesc = (
        "Calls a server over RabbitMQ: sends BODY with a place to reply to, and prints the reply. "
        "An error of the server's, no reply in time, and no queue there are one line and status "
        "1. The environment variable NETDEMO_BROKER names the broker. "
        "Example: netdemo call /queue/rpc_queue 30"
    )
    optParameters: list[list[Any]] = [
        [
            "timeout",
            None,
            CALL_TIMEOUT,
            "Seconds to wait for the reply",
            positive_number("--timeout"),
        ],
    ]

    def parseArgs(self, destination: str, body: str) -> None:  # type: ignore[override]
        self["destination"] = parse_destination(destination)
        self["body"] = os.fsencode(body)

    def postOptions(self) -> None:
        if self["timeout"] > MAX_TIMEOUT:
            raise usage.UsageError(
                f"bad --timeout '{self['timeout']:g}': expected at most {MAX_TIMEOUT:.0f} seconds"
            )

    async def run(self, reactor: Any) -> None:
        """Call, and print the reply."""
        check_standard_output()
        to = target(self["destination"])
        async with connected(reactor, to.topology) as client:
            reply = await RPCClient(client).call(
                to.routing_key, self["body"], exchange=to.exchange, timeout=self["timeout"]
            )
        with closing(StandardOutput(reactor)) as output:
            output.write(reply + b"\n")
            await output.flush()
