"""``publish_transient.py PORT COUNT EXCHANGE``: `AMQPClient.publish` of transient messages.

No two have the same routing key, which is ``stock.NUMBER.price``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.task import react

from benchmarks.peers.in_flight import publish_all
from benchmarks.peers.turn import TRANSIENT, Turn, bodies, url
from netdemo.amqp import AMQPClient, Message

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


async def main(reactor: Any, port: str, count: str, exchange: str) -> None:
    """Publish."""
    client = AMQPClient([url(int(port))], reactor)
    client.startService()
    await client.when_ready(fail_after_failures=1)
    messages = bodies(int(count))

    def publish(body: bytes) -> Deferred[None]:
        message = Message(body, delivery_mode=TRANSIENT)
        return client.publish(message, exchange, f"stock.{int(body)}.price")

    turn = Turn()
    turn.end(await publish_all(publish, messages))
    await client.stopService()


react(main, sys.argv[1:])
