"""``pika_consume.py PORT COUNT [EACH]``: `TwistedChannel.basic_consume`, read in a loop.

One ack is for EACH messages (1).
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.task import react

from benchmarks.peers.pika_connection import connected
from benchmarks.peers.turn import PREFETCH, QUEUE, Order, Turn


async def main(reactor: Any, port: str, count: str, each: str = "1") -> None:
    """Consume."""
    connection, channel = await connected(reactor, int(port))
    order = Order(int(count))
    turn = Turn()
    await channel.basic_qos(prefetch_count=PREFETCH)
    queue, _ = await channel.basic_consume(QUEUE)
    while not order.complete:
        _, method, _, body = await queue.get()
        order.came(body)
        if not order.count % int(each) or order.complete:
            channel.basic_ack(method.delivery_tag, multiple=int(each) > 1)
    turn.end(order.count)
    await connection.close()


react(main, sys.argv[1:])
