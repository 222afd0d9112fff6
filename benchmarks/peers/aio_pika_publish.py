"""``aio_pika_publish.py PORT COUNT``: aio-pika's default exchange, one task for each in flight."""

from __future__ import annotations

import asyncio
import sys

from aio_pika import DeliveryMode, Message, connect_robust
from pamqp.commands import Basic

from benchmarks.peers.turn import IN_FLIGHT, QUEUE, Turn, bodies, url


async def main(port: str, count: str) -> None:
    """Publish."""
    connection = await connect_robust(url(int(port)))
    channel = await connection.channel(publisher_confirms=True)
    exchange = channel.default_exchange
    confirmed = 0

    async def publish_from(left: list[bytes]) -> None:
        nonlocal confirmed
        while left:
            message = Message(left.pop(), delivery_mode=DeliveryMode.PERSISTENT)
            outcome = await exchange.publish(message, QUEUE)
            if not isinstance(outcome, Basic.Ack):
                raise ValueError(f"not confirmed: {outcome!r}")
            confirmed += 1

    left = bodies(int(count))[::-1]
    turn = Turn()
    await asyncio.gather(*(publish_from(left) for _ in range(IN_FLIGHT)))
    turn.end(confirmed)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
