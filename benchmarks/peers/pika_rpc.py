"""``pika_rpc.py PORT COUNT``: calls by `TwistedChannel` and direct reply-to, one at a time."""

from __future__ import annotations

import sys
import time
from typing import Any

from pika import BasicProperties
from twisted.internet.task import react

from benchmarks.peers.pika_connection import connected
from benchmarks.peers.turn import QUEUE, Turn, bodies, percentiles

REPLY_TO = "amq.rabbitmq.reply-to"


async def main(reactor: Any, port: str, count: str) -> None:
    """Call."""
    connection, channel = await connected(reactor, int(port))
    replies, _ = await channel.basic_consume(REPLY_TO, auto_ack=True)
    times = []
    turn = Turn()
    for number, body in enumerate(bodies(int(count))):
        asked = time.perf_counter()
        correlation_id = str(number)
        properties = BasicProperties(reply_to=REPLY_TO, correlation_id=correlation_id)
        await channel.basic_publish("", QUEUE, body, properties)
        _, _, answer, reply = await replies.get()
        times.append(time.perf_counter() - asked)
        if reply != body or answer.correlation_id != correlation_id:
            raise ValueError(f"{body!r} is answered by {reply!r}")
    turn.end(len(times), **percentiles(times))
    await connection.close()


react(main, sys.argv[1:])
