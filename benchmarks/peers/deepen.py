"""``deepen.py PORT COUNT``: put COUNT messages of 1 KB into the queue, persistent and confirmed."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.task import react

from benchmarks.peers.in_flight import publish_all
from benchmarks.peers.turn import KILOBYTE, QUEUE, Turn, url
from netdemo.amqp import AMQPClient, Message


async def main(reactor: Any, port: str, count: str) -> None:
    """Publish."""
    client = AMQPClient([url(int(port))], reactor)
    client.startService()
    await client.when_ready(fail_after_failures=1)
    messages = [KILOBYTE] * int(count)
    turn = Turn()
    turn.end(
        await publish_all(lambda body: client.publish(Message(body), routing_key=QUEUE), messages)
    )
    await client.stopService()


react(main, sys.argv[1:])
