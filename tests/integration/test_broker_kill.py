"""``kill -9`` again and again while a client publishes: what was confirmed is there afterwards."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from pika import spec

from netdemo.broker.wire import write_method
from netdemo.frames import BODY, HEADER, frame
from tests.broker_peer import content_header
from tests.broker_process import BrokerProcessTestCase
from tests.broker_socket import BrokerSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = 50
BURST = 1000
"""Messages that are sent to each life of the broker, at most."""

UNDER_WAY = 200
"""Of these so many are not confirmed yet at any time."""

EXCHANGE = "kills"
ALL = "all"
"""The queue to which everything goes."""

PERSISTENT = 1 << 12
"""The flag of the property ``delivery_mode``."""


def message(number: int) -> bytes:
    """Return the frames of a persistent message with a number of its own."""
    body = b"%d" % number
    key = f"life.{number // BURST}"
    publish = write_method(1, spec.Basic.Publish(0, EXCHANGE, key, mandatory=True))
    header = content_header(len(body), PERSISTENT, b"\x02")
    return publish + frame(HEADER, 1, header) + frame(BODY, 1, body)


def confirms(client: BrokerSocket) -> Iterator[int]:
    """Yield how many messages are confirmed, each time that it is more, until the end."""
    for each in client.frames():
        assert isinstance(each.method, spec.Basic.Ack), each
        yield each.method.delivery_tag


class KillTests(BrokerProcessTestCase):
    """A broker with a store."""

    stored = True

    def setUp(self) -> None:
        super().setUp()
        self.random = Random(1)
        self.confirmed: list[int] = []

    def live(self, number: int) -> None:
        """Declare a queue, publish, and kill the broker somewhere in between."""
        first = number * BURST
        with BrokerSocket(self.broker.port).shake_hands(1) as client:
            self.declare(client, f"life.{number}", f"life.{number}")
            client.call(spec.Confirm.Select(), spec.Confirm.SelectOk)
            goal = self.random.randrange(BURST - UNDER_WAY)
            confirmed = self.publish(client, range(first, first + BURST), goal)
            self.confirmed += range(first, first + confirmed)

    def publish(self, client: BrokerSocket, numbers: range, goal: int) -> int:
        """Publish until more than `goal` are confirmed, then kill; return how many are at last."""
        sent = confirmed = 0
        killed = False
        acks = confirms(client)
        while True:
            if not killed and sent < confirmed + UNDER_WAY:
                some = numbers[sent : confirmed + UNDER_WAY]
                client.send(b"".join(map(message, some)))
                sent += len(some)
            if (last := next(acks, None)) is None:
                break
            confirmed = last
            if confirmed > goal and not killed:
                self.broker.kill()
                killed = True
        self.assertTrue(killed)
        return confirmed

    def declare(self, client: BrokerSocket, queue: str, key: str) -> None:
        """Declare a queue that is bound with a key."""
        client.call(spec.Queue.Declare(queue=queue, durable=True), spec.Queue.DeclareOk)
        client.call(spec.Queue.Bind(0, queue, EXCHANGE, key), spec.Queue.BindOk)

    def bodies(self, client: BrokerSocket, queue: str) -> list[int]:
        """Return the numbers of all messages in a queue, in order."""
        declared = client.call(spec.Queue.Declare(queue=queue, passive=True), spec.Queue.DeclareOk)
        client.send(write_method(1, spec.Basic.Consume(queue=queue, no_ack=True)))
        bodies: list[int] = []
        frames = client.frames()
        while len(bodies) < declared.message_count:
            each = next(frames)
            if each.NAME == "Body":
                bodies.append(int(each.fragment))
        return bodies

    def test_nothing_that_was_confirmed_is_missing_after_fifty_kills(self) -> None:
        with BrokerSocket(self.broker.port).shake_hands(1) as client:
            exchange = spec.Exchange.Declare(exchange=EXCHANGE, type="topic", durable=True)
            client.call(exchange, spec.Exchange.DeclareOk)
            self.declare(client, ALL, "#")
        begun, starting = time.monotonic(), 0.0
        for number in range(KILLS):
            self.live(number)
            dead = time.monotonic()
            self.broker.start()
            starting += time.monotonic() - dead
        self.assertLess(len(self.confirmed), KILLS * BURST)
        print(
            f"{KILLS} kills, {len(self.confirmed)} messages confirmed: "
            f"{time.monotonic() - begun:.1f} s, of which {starting:.1f} s to start"
        )
        with BrokerSocket(self.broker.port).shake_hands(1) as client:
            self.check(client, ALL, range(KILLS * BURST))
            for number in range(KILLS):
                self.check(client, f"life.{number}", range(number * BURST, (number + 1) * BURST))

    def check(self, client: BrokerSocket, queue: str, sent: range) -> None:
        """Check that a queue has all of these that were confirmed, once and in order."""
        bodies = self.bodies(client, queue)
        self.assertEqual(sorted(set(bodies)), bodies, queue)
        self.assertLessEqual(set(bodies), set(sent), queue)
        missing = {each for each in self.confirmed if each in sent}.difference(bodies)
        self.assertEqual(set(), missing, queue)
