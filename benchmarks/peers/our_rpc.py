"""``our_rpc.py PORT COUNT``: `RPCClient.call`, one at a time."""

from __future__ import annotations

import sys
import time
from typing import Any

from twisted.internet.task import react

from benchmarks.peers.turn import QUEUE, Turn, bodies, percentiles, url
from netdemo.amqp import AMQPClient, RPCClient


async def main(reactor: Any, port: str, count: str) -> None:
    """Call."""
    client = AMQPClient([url(int(port))], reactor)
    client.startService()
    await client.when_ready(fail_after_failures=1)
    rpc = RPCClient(client)
    times = []
    turn = Turn()
    for body in bodies(int(count)):
        asked = time.perf_counter()
        reply = await rpc.call(QUEUE, body, timeout=5.0)
        times.append(time.perf_counter() - asked)
        if reply != body:
            raise ValueError(f"{body!r} is answered by {reply!r}")
    turn.end(len(times), **percentiles(times))
    await client.stopService()


react(main, sys.argv[1:])
