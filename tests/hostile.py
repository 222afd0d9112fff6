"""Nonsense for our broker, as much as wanted: ``python -m tests.hostile --count 1000000 --seed 1``.

A broker in memory is sent random streams, one connection after another. Beside them a good client
publishes and consumes, and nothing of theirs may reach it, the log or the memory.
"""

from __future__ import annotations

import argparse
import os
import time
from random import Random
from typing import TYPE_CHECKING, Any, cast

from pika import spec
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from netdemo.broker.broker import Broker
from netdemo.broker.exchanges import Exchange
from netdemo.broker.message import Message
from netdemo.broker.properties import split_header, split_table
from netdemo.broker.store import memory_store
from netdemo.broker.users import guest_only
from netdemo.broker.vhost import PREDECLARED
from netdemo.broker.wire import PROTOCOL_HEADER, Bounded, write_ack, write_delivery
from netdemo.frames import BODY, HEADER, METHOD, FrameReader
from tests.broker_peer import FRAME_MAX, BrokerPeer, content_header, publication
from tests.nonsense import Nonsense
from tests.processes import anonymous_memory

if TYPE_CHECKING:
    from typing import Self

    from twisted.logger import ILogObserver, LogEvent

ROUND = 200
"""Streams after which all that they have declared is deleted, and nothing may be left."""

GOOD = "good"


class HostileTrial:
    """A broker, the good client, and those who send nonsense.

    It raises `AssertionError` for what goes wrong while it is entered as a context.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.frames = 0
        self.streams = 0
        self._random = Random(seed)
        self._nonsense = Nonsense(self._random)
        self._clock = Clock()
        self._store = memory_store(self._clock)
        self._mistakes: list[str] = []
        self._sent: list[bytes] = []
        self._observer = cast("ILogObserver", self._observe)
        self._broker = Broker(self._clock, guest_only(), self._store)
        self._good = BrokerPeer(self._broker).shake_hands(1)
        self._good.call(
            spec.Confirm.Select(),
            spec.Queue.Declare(queue=GOOD, exclusive=True),
            spec.Basic.Consume(queue=GOOD, consumer_tag=GOOD, no_ack=True),
        )
        self._confirmed = 0

    def __enter__(self) -> Self:
        globalLogPublisher.addObserver(self._observer)
        return self

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(self._observer)

    def run(self, frames: int) -> None:
        """Send random streams of so many frames, or a few more."""
        while self.frames < frames:
            for _ in range(ROUND):
                pieces, count = self._nonsense.stream()
                self.frames += count
                self.send(pieces)
            self.check_nothing_is_left()

    def send(self, pieces: list[bytes]) -> None:
        """Send one stream in these pieces, on a connection of its own."""
        self._sent = pieces
        self.streams += 1
        peer = BrokerPeer(self._broker)
        random = self._random
        for piece in pieces:
            if peer.closed:
                break
            if peer.reading:
                peer.send(piece)
            if random.random() < 0.05:
                peer.connection.pause()
            elif not peer.reading:
                self._broker.turns.run(peer.connection.resume)
            if random.random() < 0.1:
                self._clock.advance(random.random() * 2)
        self._check_output(peer.unread)
        peer.end()
        self._check(not self._mistakes, *self._mistakes)
        self._publish_and_consume()

    def _check_output(self, data: bytes) -> None:
        """See that what a peer was sent is AMQP; pika can't read all that may be in headers."""
        for kind, _, payload in FrameReader().frames(data.removeprefix(PROTOCOL_HEADER), 1 << 20):
            if kind == METHOD:
                method = spec.methods[int.from_bytes(payload[:4])]
                method().decode(Bounded(payload), 4)
            elif kind == HEADER:
                split_table(split_header(payload).get("headers", bytes(4)))
            else:
                self._check(kind == BODY, "a frame of the type", str(kind))

    def _publish_and_consume(self) -> None:
        """See that the good client is served as ever."""
        self._confirmed += 1
        body = b"%d" % self._confirmed
        good = self._good
        good.send(publication(1, "", GOOD, body))
        message = Message("", GOOD, content_header(len(body)), body)
        expected = write_delivery(1, GOOD, self._confirmed, False, message, FRAME_MAX)
        expected += write_ack(1, self._confirmed, False)
        self._check(good.unread == expected, "the good client got", repr(good.unread))
        good.unread = b""

    def check_nothing_is_left(self) -> None:
        """Delete all that was declared, and look for what is left of the others."""
        broker, vhost = self._broker, self._broker.vhost("/")
        turns = broker.turns
        for queue in list(vhost.queues.values()):
            if queue.name != GOOD:
                turns.run(vhost.delete_queue, queue)
        for name in set(vhost.exchanges) - {"", *PREDECLARED}:
            if name in vhost.exchanges:  # it may have gone with another
                turns.run(vhost.delete_exchange, vhost.exchanges[name])
        for exchange in vhost.exchanges.values():
            for destination, key, arguments in exchange.bindings:
                turns.run(vhost.unbind, exchange, destination, key, arguments)
        left: dict[str, Any] = {
            "connections": set(broker.connections) - {self._good.connection},
            "memory": broker.memory.used,
            "queues": set(vhost.queues) - {GOOD},
            "exchanges": set(vhost.exchanges) - {"", *PREDECLARED},
            "bindings": [each for each in vhost.exchanges.values() if each.bindings],
            "owners": set(vhost._exclusive) - {self._good.connection},
            "destinations": [each for each in vhost._sources if isinstance(each, Exchange)],
            "replies": broker.replies._askers,
            "timers": self._clock.getDelayedCalls(),
            "turns": [*turns._queues, *turns._channels, *turns._connections],
            "bytes for the disk": self._store.waiting_bytes,
            "rows": self._rows(),
            "vhosts": set(broker.vhosts) - {"/"},
        }
        for what, those in left.items():
            self._check(not those, what, "are left:", repr(those))

    def _rows(self) -> dict[str, int]:
        """Return how many definitions and messages are in the store, where there are any."""
        reader = self._store._database.reader
        tables = ("exchanges", "queues", "bindings", "messages", "emptied")
        counts = {
            each: reader.execute(f"SELECT count(*) FROM {each}").fetchone()[0] for each in tables
        }
        return {each: count for each, count in counts.items() if count}

    def _observe(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if event["log_level"] >= LogLevel.error or isinstance(failure, Failure):
            trace = failure.getTraceback() if isinstance(failure, Failure) else ""
            self._mistakes.append(f"{formatEvent(event)}\n{trace}")

    def _check(self, holds: bool, *words: str) -> None:
        if not holds:
            sent = ", ".join(map(repr, self._sent))
            where = f"seed {self.seed}, stream {self.streams}: [{sent}]"
            raise AssertionError(" ".join((*words, "\n", where)))


def main() -> None:
    """Send as many frames as the arguments say, and tell what it cost."""
    options = argparse.ArgumentParser(prog="python -m tests.hostile")
    options.add_argument("--count", type=int, default=1_000_000, help="frames")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with HostileTrial(given.seed) as trial:
        trial.run(given.count // 10)  # until what is kept for speed is there
    before, begun = anonymous_memory(os.getpid()), time.monotonic()
    with HostileTrial(given.seed + 1) as trial:
        trial.run(given.count)
    seconds = time.monotonic() - begun
    after = anonymous_memory(os.getpid())
    print(f"{trial.frames} frames in {trial.streams} streams, {seconds:.0f} s: ", end="")
    print(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after")


if __name__ == "__main__":
    main()
