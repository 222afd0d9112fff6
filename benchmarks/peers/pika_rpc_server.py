"""``pika_rpc_server.py PORT``: RabbitMQ's tutorial, an answer being the request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pika import BasicProperties, BlockingConnection, URLParameters

from benchmarks.peers.turn import QUEUE, url

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic


def answer(
    channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
) -> None:
    """Reply, and acknowledge."""
    assert properties.reply_to is not None
    reply = BasicProperties(correlation_id=properties.correlation_id)
    channel.basic_publish("", properties.reply_to, body, reply)
    channel.basic_ack(method.delivery_tag)


channel = BlockingConnection(URLParameters(url(int(sys.argv[1])))).channel()
channel.basic_qos(prefetch_count=1)
channel.basic_consume(QUEUE, answer)
channel.start_consuming()
