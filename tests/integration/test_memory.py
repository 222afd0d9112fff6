"""Bounded memory where the broker takes no more, and where a consumer is slow."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from netdemo.amqp import Consumer, Message, Publisher, Queue, Topology
from tests.load import Load
from tests.processes import anonymous_memory
from tests.rabbitmq_clients import ClientOnRabbitMQTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Delivery
    from netdemo.amqp.status import Status

MIB = 1024 * 1024
BODY = 64 * 1024
MOST = 1_000_000
"""Messages: more than can be published before the test has seen enough."""


class AlarmTests(ClientOnRabbitMQTestCase):
    """A node with a memory alarm, which blocks its publishers (``connection.blocked``)."""

    async def watermark(self, *words: str) -> None:
        """Set how much memory the node may have before there is an alarm."""
        await deferToThread(self.node.control, "set_vm_memory_high_watermark", *words)

    def when_in_state(self, state: str) -> Deferred[None]:
        """Fire when the client is in this state again."""
        reached: Deferred[None] = Deferred()

        def listener(status: Status) -> None:
            if status.state == state and not reached.called:
                reached.callback(None)

        self.client.add_status_listener(listener)
        return reached

    async def node_had_time(self) -> None:
        """Wait for something that takes the node longer than a confirm."""
        await deferToThread(self.node.control, "list_queues")

    async def test_publishers_wait_in_flat_memory_and_nothing_is_lost(self) -> None:
        topology = Topology(queues=(Queue(self.queue),))
        publisher = Publisher(topology)
        self.client.add(publisher)
        load = Load(self.queue, under_way=100, size=BODY)
        # On a connection of its own: what a blocked one sends is not read, acks neither.
        self.start_client(self.node.url).add(
            Consumer(self.queue, load.see, prefetch=50, topology=topology)
        )
        before = anonymous_memory(os.getpid())
        publishing = Deferred.fromCoroutine(load.publish(publisher, MOST))
        await load.until(partial(load.has_confirmed, 500))
        blocked, ready = self.when_in_state("blocked"), self.when_in_state("ready")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.watermark("0.4")))
        await self.watermark("absolute", "1MB")
        await blocked
        await self.node_had_time()
        confirmed = len(load.confirmed_at)
        held = self.client.publish(Message(b""), "", "nowhere", mandatory=False)
        await self.node_had_time()
        self.assertEqual((held.called, len(load.confirmed_at)), (False, confirmed))
        self.assertLess(anonymous_memory(os.getpid()) - before, 64 * MIB)
        await self.watermark("0.4")
        await ready
        await held
        await load.until(partial(load.has_confirmed, confirmed + 1000))
        load.end()
        await publishing
        await load.all_seen(reactor)
        self.assertLess(anonymous_memory(os.getpid()) - before, 64 * MIB)
        self.assertEqual((load.failed, load.repeats), ([], 0))


class SlowHandlerTests(ClientOnRabbitMQTestCase):
    """A handler that takes its time, and a queue of 100 MiB."""

    async def test_prefetch_is_all_that_it_holds(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        for _ in range(100):
            await self.client.publish(Message(bytes(MIB)), "", self.queue)
        before = anonymous_memory(os.getpid())
        held: list[int] = []
        ended: Deferred[None] = Deferred()
        enough: Deferred[None] = Deferred()

        async def handler(delivery: Delivery) -> None:
            held.append(delivery.delivery_tag)
            if len(held) == 5:
                enough.callback(None)
            await ended

        await self.client.consume(self.queue, handler, prefetch=5)
        await enough
        counts = await deferToThread(
            self.node.control, "list_queues", "name", "messages_ready", "messages_unacknowledged"
        )
        self.assertIn([self.queue, "95", "5"], [line.split() for line in counts.splitlines()])
        self.assertEqual(len(held), 5)
        self.assertLess(anonymous_memory(os.getpid()) - before, 32 * MIB)
        ended.callback(None)
