"""``put_and_get.py PORT COUNT``: pika puts 1 KB into the queue, confirmed, and gets the first."""

from __future__ import annotations

import sys

from pika import BasicProperties, BlockingConnection, URLParameters

from benchmarks.peers.turn import KILOBYTE, PERSISTENT, QUEUE, Turn, url

port, count = sys.argv[1:]
connection = BlockingConnection(URLParameters(url(int(port))))
channel = connection.channel()
channel.confirm_delivery()
properties = BasicProperties(delivery_mode=PERSISTENT)
turn = Turn()
for _ in range(int(count)):
    channel.basic_publish("", QUEUE, KILOBYTE, properties)
    got = channel.basic_get(QUEUE, auto_ack=True)
    if got[2] != KILOBYTE:
        raise ValueError(f"got {got!r}")
turn.end(int(count))
connection.close()
