"""``socket_rpc_server.py PORT``: answers calls on a plain socket, an answer being the request."""

from __future__ import annotations

import sys

from pika import BasicProperties, spec

from benchmarks.peers.socket_channel import SocketChannel, ack, properties_of, publish
from benchmarks.peers.turn import QUEUE

channel = SocketChannel(int(sys.argv[1]))
channel.call(spec.Basic.Qos(prefetch_count=1), spec.Basic.QosOk)
channel.call(spec.Basic.Consume(queue=QUEUE), spec.Basic.ConsumeOk)
while True:
    method, header, body = channel.delivery()
    tag = spec.Basic.Deliver().decode(method, 4).delivery_tag
    asked = properties_of(header)
    assert asked.reply_to is not None
    reply = BasicProperties(correlation_id=asked.correlation_id)
    channel.send(publish(asked.reply_to, reply, body) + ack(tag))
