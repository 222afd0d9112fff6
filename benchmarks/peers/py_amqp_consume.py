"""``py_amqp_consume.py PORT COUNT``: py-amqp, each acknowledged from its callback."""

from __future__ import annotations

import sys

from amqp import Connection, Message

from benchmarks.peers.turn import PREFETCH, QUEUE, Order, Turn


def main(port: str, count: str) -> None:
    """Consume."""
    order = Order(int(count))
    with Connection(f"127.0.0.1:{port}") as connection:
        channel = connection.channel()

        def handle(message: Message) -> None:
            order.came(message.body)
            channel.basic_ack(message.delivery_tag)

        turn = Turn()
        channel.basic_qos(0, PREFETCH, False)
        channel.basic_consume(QUEUE, callback=handle)
        while not order.complete:
            connection.drain_events()
        turn.end(order.count)


main(*sys.argv[1:])
