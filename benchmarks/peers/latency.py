"""``latency.py PORT COUNT [NODE]``: the time from a record to its ``OK``, 1,000 records a second.

Without NODE a record is published to the node on PORT, and it is the time to its confirm. Else
what listens on PORT is a bridge beside NODE. Each is sent at its own time, whether or not the one
before it has its answer.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, react
from twisted.protocols.basic import LineOnlyReceiver

from benchmarks.peers.turn import QUEUE, Turn, bodies, percentiles, url
from netdemo.amqp import AMQPClient, Message

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL: Final = 0.001


class Sender(LineOnlyReceiver):
    """Sends records to a bridge; `answered` is called with each answer."""

    delimiter = b"\n"
    answered: Callable[[], None]

    def lineReceived(self, line: bytes) -> None:
        if line != b"OK":
            raise ValueError(line)
        self.answered()


async def main(reactor: Any, port: str, count: str, node: str = "") -> None:
    """Send, and tell of the times."""
    left = bodies(int(count))[::-1]
    sent: list[float] = []
    taken: list[float] = []
    done: Deferred[None] = Deferred()

    def answered(_: None = None) -> None:
        taken.append(time.perf_counter() - sent[len(taken)])
        if len(taken) == int(count):
            done.callback(None)

    if node:
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{port}")
        sender: Any = await endpoint.connect(Factory.forProtocol(Sender))
        sender.answered = answered
        sender.transport.setTcpNoDelay(True)
        send = sender.sendLine
    else:
        client = AMQPClient([url(int(port))], reactor)
        client.startService()
        await client.when_ready(fail_after_failures=1)

        def send(body: bytes) -> None:
            client.publish(Message(body), routing_key=QUEUE).addCallbacks(answered, done.errback)

    def tick(times: int) -> None:
        for _ in range(min(times, len(left))):
            sent.append(time.perf_counter())
            send(left.pop())

    turn = Turn()
    ticking = LoopingCall.withCount(tick)
    ticking.clock = reactor
    ticking.start(INTERVAL).addErrback(done.errback)
    await done
    ticking.stop()
    turn.end(len(taken), **percentiles(taken))


react(main, sys.argv[1:])
