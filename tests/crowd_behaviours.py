"""What pull and subscribe routes come to with many clients, on any real broker."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from netdemo.amqp import Message, Queue, Topology
from netdemo.errors import UnroutableError
from tests.crowd import Crowd, Reader, Sleeper, Vanisher, bridge_process
from tests.folders import temporary_folder
from tests.processes import Process, anonymous_memory
from tests.rabbitmq import free_ports
from tests.ready_clients import ReadyClientTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS = 1000
SLEEPERS = 100
VANISHERS = 100
MESSAGES = 5000
BODY = 1000

STOPPED_CLIENTS = 20

SUBSCRIBERS = 50
SLEEPING_SUBSCRIBERS = 20
VANISHING_SUBSCRIBERS = 20
COPIES = 800
LONG_BODY = 10_000
BUFFER = 1_000_000
"""Bytes: far less than all copies, and more than a busy machine lets one reader fall behind."""

EARLY = b"published before anyone is connected, and perhaps on its way when they are"

PREFETCH = 10
MEMORY = 32 * 1024 * 1024
"""Bytes that the bridge may have more than before its clients came."""


class CrowdTestCase(ReadyClientTestCase):
    """A bridge with one route, and a crowd at it."""

    bridge: Process

    def start_bridge(self, route: str, destination: str, **options: Any) -> Crowd:
        """Start the bridge; return a crowd that may connect to it."""
        (port,) = free_ports(1)
        self.bridge = bridge_process(
            temporary_folder(self), self.url, route, destination, port, **options
        )
        self.addCleanup(self.bridge.remove)
        self.bridge.wait_for("ready")
        crowd = Crowd(reactor, port)
        self.addCleanup(lambda: Deferred.fromCoroutine(crowd.end()))
        return crowd

    async def until_subscribed(self, exchange: str, key: str) -> None:
        """Return when what is published there comes to a queue: the bridge has bound its own."""
        while True:
            with suppress(UnroutableError):
                return await self.client.publish(Message(EARLY), exchange, key)

    async def publish(
        self, how_many: int, size: int, key: str = "", exchange: str = ""
    ) -> list[bytes]:
        """Publish numbered messages to the queue, or elsewhere; return their bodies."""
        bodies = [(b"%d " % number).ljust(size, b".") for number in range(how_many)]
        published = [
            self.client.publish(Message(each), exchange, key or self.queue) for each in bodies
        ]
        for each in published:
            await each
        return bodies

    def when(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Return what fires when `told` is called and `condition` is true."""
        self._condition = condition
        self._come_true: Deferred[None] = Deferred()
        return self._come_true

    def told(self) -> None:
        """Look whether what is waited for has come true."""
        if self._condition() and not self._come_true.called:
            self._come_true.callback(None)


class PullCrowds(CrowdTestCase):
    """Pull clients that read, that never read and that vanish."""

    async def test_each_message_is_acknowledged_by_somebody_and_memory_is_bounded(self) -> None:
        crowd = self.start_bridge(
            "PullRoute", f"/queue/{self.queue}", ack=True, prefetch=PREFETCH, idle_timeout=3.0
        )
        before = anonymous_memory(self.bridge.pid)
        done: set[bytes] = set()
        repeats = 0

        def seen(_: Reader, line: bytes) -> None:
            nonlocal repeats
            repeats += line in done
            done.add(line)
            self.told()

        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        all_done = self.when(lambda: len(done) == MESSAGES)
        begun = time.monotonic()
        await crowd.connect(lambda: Sleeper(seen, acks=True), SLEEPERS)
        await crowd.connect(lambda: Vanisher(seen, acks=True), VANISHERS)
        await crowd.connect(lambda: Reader(seen, acks=True), CLIENTS - SLEEPERS - VANISHERS)
        connected = time.monotonic()
        bodies = await self.publish(MESSAGES, BODY)
        await all_done
        more = anonymous_memory(self.bridge.pid) - before
        print(
            f"{CLIENTS} clients in {connected - begun:.1f} s, {MESSAGES} messages in "
            f"{time.monotonic() - connected:.1f} s, {repeats} repeats, {more / 1e6:.1f} MB more"
        )
        self.assertEqual(done, set(bodies))
        self.assertLess(more, MEMORY)

    async def test_stopped_bridge_has_answered_or_given_back_each_message(self) -> None:
        crowd = self.start_bridge("PullRoute", f"/queue/{self.queue}", ack=True, prefetch=PREFETCH)
        acked: set[bytes] = set()

        def seen(_: Reader, line: bytes) -> None:
            self.assertNotIn(line, acked)
            acked.add(line)
            self.told()

        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        tenth = self.when(lambda: len(acked) >= MESSAGES // 10)
        await crowd.connect(lambda: Reader(seen, acks=True), STOPPED_CLIENTS)
        publishing = Deferred.fromCoroutine(self.publish(MESSAGES, BODY))
        await tenth
        self.assertEqual(await deferToThread(self.bridge.terminate), -signal.SIGTERM)
        self.assertNotIn("Traceback", "".join(self.bridge.lines))
        for client in crowd.clients:
            await client.over
        bodies = await publishing
        self.assertLess(len(acked), MESSAGES)
        rest = set(await self.collect(MESSAGES - len(acked)))
        self.assertEqual((acked | rest, acked & rest), (set(bodies), set()))


class SubscribeCrowds(CrowdTestCase):
    """Subscribers that read, that never read and that vanish."""

    async def test_readers_get_everything_and_who_never_reads_is_dropped(self) -> None:
        crowd = self.start_bridge("SubscribeRoute", f"/topic/{self.queue}", buffer=BUFFER)
        await self.until_subscribed("amq.topic", self.queue)
        before = anonymous_memory(self.bridge.pid)
        got: dict[Reader, list[bytes]] = {}
        left = SUBSCRIBERS - SLEEPING_SUBSCRIBERS - VANISHING_SUBSCRIBERS

        def seen(client: Reader, line: bytes) -> None:
            nonlocal left
            if line == EARLY:
                return
            lines = got.setdefault(client, [])
            lines.append(line[:20])
            left -= type(client) is Reader and len(lines) == COPIES
            self.told()

        all_done = self.when(lambda: left == 0)
        await crowd.connect(lambda: Sleeper(seen), SLEEPING_SUBSCRIBERS)
        await crowd.connect(lambda: Vanisher(seen), VANISHING_SUBSCRIBERS)
        await crowd.connect(lambda: Reader(seen), left)
        begun = time.monotonic()
        bodies = await self.publish(COPIES, LONG_BODY, self.queue, "amq.topic")
        await all_done
        more = anonymous_memory(self.bridge.pid) - before
        print(
            f"{SUBSCRIBERS} subscribers, {COPIES} messages of {LONG_BODY} bytes: "
            f"{time.monotonic() - begun:.1f} s, {more / 1e6:.1f} MB more"
        )
        beginnings = [each[:20] for each in bodies]
        for client, lines in got.items():
            if type(client) is Reader:
                self.assertEqual(lines, beginnings)
        for _ in range(SLEEPING_SUBSCRIBERS):
            self.bridge.wait_for("bytes wait for it")
        self.assertLess(more, MEMORY)
