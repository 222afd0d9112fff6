"""``aio_pika_consume.py PORT COUNT``: `Queue.iterator` of aio-pika, each acknowledged."""

from __future__ import annotations

import asyncio
import sys

from aio_pika import connect_robust

from benchmarks.peers.turn import PREFETCH, QUEUE, Order, Turn, url


async def main(port: str, count: str) -> None:
    """Consume."""
    connection = await connect_robust(url(int(port)))
    channel = await connection.channel()
    order = Order(int(count))
    queue = await channel.get_queue(QUEUE)
    turn = Turn()
    await channel.set_qos(prefetch_count=PREFETCH)
    async with queue.iterator() as messages:
        async for message in messages:
            order.came(message.body)
            await message.ack()
            if order.complete:
                turn.end(order.count)
                break
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
