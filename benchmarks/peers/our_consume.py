"""``our_consume.py PORT COUNT``: `AMQPClient.consume` as it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.peers.turn import PREFETCH, QUEUE, Order, Turn, url
from netdemo.amqp import AMQPClient

if TYPE_CHECKING:
    from netdemo.amqp import Delivery


async def main(reactor: Any, port: str, count: str) -> None:
    """Consume."""
    client = AMQPClient([url(int(port))], reactor)
    client.startService()
    await client.when_ready(fail_after_failures=1)
    order = Order(int(count))
    all_came: Deferred[None] = Deferred()

    def handle(delivery: Delivery) -> None:
        if all_came.called:
            return
        try:
            order.came(delivery.message.body)
        except ValueError:
            all_came.errback()
        else:
            if order.complete:
                all_came.callback(None)

    turn = Turn()
    await client.consume(QUEUE, handle, prefetch=PREFETCH)
    await all_came
    turn.end(order.count)
    await client.stopService()


react(main, sys.argv[1:])
