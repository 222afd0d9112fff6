"""``pika_publish.py PORT COUNT [same]``: `TwistedChannel.basic_publish`, persistent.

``same``: also mandatory, and with a message id of its own, as ours are.
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

from pika import BasicProperties
from twisted.internet.task import react

from benchmarks.peers.in_flight import publish_all
from benchmarks.peers.pika_connection import connected
from benchmarks.peers.turn import PERSISTENT, QUEUE, Turn, bodies


async def main(reactor: Any, port: str, count: str, kind: str = "") -> None:
    """Publish."""
    connection, channel = await connected(reactor, int(port))
    await channel.confirm_delivery()

    def publish(body: bytes) -> Any:
        return channel.basic_publish("", QUEUE, body, BasicProperties(delivery_mode=PERSISTENT))

    def publish_as_ours(body: bytes) -> Any:
        properties = BasicProperties(delivery_mode=PERSISTENT, message_id=uuid4().hex)
        return channel.basic_publish("", QUEUE, body, properties, mandatory=True)

    messages = bodies(int(count))
    turn = Turn()
    turn.end(await publish_all(publish_as_ours if kind == "same" else publish, messages))
    await connection.close()


react(main, sys.argv[1:])
