"""``fill.py PORT COUNT``: fill the queue for a consumer, unconfirmed, which is faster.

All are written at once; the connection closes when the broker has read them.
"""

from __future__ import annotations

import sys
from typing import Any

from pika import BasicProperties
from twisted.internet.task import react

from benchmarks.peers.pika_connection import connected
from benchmarks.peers.turn import PERSISTENT, QUEUE, Turn, bodies


async def main(reactor: Any, port: str, count: str) -> None:
    """Publish."""
    connection, channel = await connected(reactor, int(port))
    messages = bodies(int(count))
    properties = BasicProperties(delivery_mode=PERSISTENT)
    turn = Turn()
    for body in messages:
        channel.basic_publish("", QUEUE, body, properties)
    await connection.close()
    turn.end(len(messages))


react(main, sys.argv[1:])
