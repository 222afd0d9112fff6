"""``socket_rpc.py PORT COUNT``: calls by direct reply-to on a plain socket, one at a time."""

from __future__ import annotations

import sys
import time

from pika import BasicProperties, spec

from benchmarks.peers.socket_channel import SocketChannel, properties_of, publish
from benchmarks.peers.turn import QUEUE, Turn, bodies, percentiles

REPLY_TO = "amq.rabbitmq.reply-to"

channel = SocketChannel(int(sys.argv[1]))
channel.call(spec.Basic.Consume(queue=REPLY_TO, no_ack=True), spec.Basic.ConsumeOk)
times = []
turn = Turn()
for number, body in enumerate(bodies(int(sys.argv[2]))):
    asked = time.perf_counter()
    properties = BasicProperties(reply_to=REPLY_TO, correlation_id=str(number))
    channel.send(publish(QUEUE, properties, body))
    _, header, reply = channel.delivery()
    times.append(time.perf_counter() - asked)
    if reply != body or properties_of(header).correlation_id != str(number):
        raise ValueError(f"{body!r} is answered by {reply!r}")
turn.end(len(times), **percentiles(times))
channel.close()
