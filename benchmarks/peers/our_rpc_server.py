"""``our_rpc_server.py PORT``: an `RPCServer` that answers with what it is asked."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.peers.turn import QUEUE, url
from netdemo.amqp import AMQPClient, RPCServer


async def main(reactor: Any, port: str) -> None:
    """Serve for ever."""
    client = AMQPClient([url(int(port))], reactor)
    client.startService()
    RPCServer(client, QUEUE, lambda delivery: delivery.message.body)
    await Deferred[None]()


react(main, sys.argv[1:])
