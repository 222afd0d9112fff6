"""A network that fails, between a client and a RabbitMQ that is well."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Consumer, Message, Publisher, Queue, Topology
from netdemo.amqp.message import new_message_id
from tests.load import Load
from tests.proxy import LOOPBACK, Proxy
from tests.rabbitmq import RabbitMQTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES = 3000
HEARTBEAT = 1
"""Seconds; pika gives a connection up when nothing came for 5 seconds more."""


class FaultTests(RabbitMQTestCase):
    """A publisher and a consumer of the same queue, through a proxy with faults."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.proxy = Proxy(reactor, self.node.port)
        port = await self.proxy.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))
        queue = new_message_id()
        self.load = Load(queue, under_way=100)
        topology = Topology(queues=(Queue(queue),))
        self.publisher = Publisher(topology)
        self.client = AMQPClient(
            [f"amqp://guest:guest@{LOOPBACK}:{port}/?heartbeat={HEARTBEAT}"],
            reactor,
            retry_policy=lambda _: 0.1,
        )
        self.reasons: list[str] = []
        self.client.add_status_listener(lambda status: self.reasons.append(str(status.reason)))
        self.client.add(self.publisher)
        self.client.add(Consumer(queue, self.load.see, prefetch=50, topology=topology))
        self.addCleanup(self.client.stopService)

    async def goes_on(self, count: int, *faults: Callable[[], None]) -> None:
        """Publish and consume, with `faults` at even distances; nothing may be lost."""
        self.client.startService()
        publishing = Deferred.fromCoroutine(self.load.publish(self.publisher, count))
        for number, fault in enumerate(faults, start=1):
            goal = number * count // (len(faults) + 1)
            await self.load.until(partial(self.load.has_confirmed, goal))
            fault()
        await publishing
        await self.load.all_seen(reactor)
        self.assertEqual(self.load.failed, [])
        self.assertEqual(self.load.strange, [])
        self.assertEqual(self.load.order[str(self.publisher)], list(range(count)))

    def noticed_by_heartbeat(self) -> None:
        """Say that it was a missing heartbeat by which the client knew."""
        self.assertTrue(any("heartbeat" in reason for reason in self.reasons), self.reasons)

    async def test_connections_that_are_closed_on_the_way(self) -> None:
        await self.goes_on(MESSAGES, self.proxy.cut, self.proxy.cut, self.proxy.cut)

    async def test_connections_that_are_reset_on_the_way(self) -> None:
        await self.goes_on(MESSAGES, self.proxy.reset, self.proxy.reset, self.proxy.reset)

    async def test_half_open_connection_is_noticed_by_heartbeat_under_load(self) -> None:
        await self.goes_on(MESSAGES, self.proxy.stall)
        self.noticed_by_heartbeat()

    async def test_half_open_connection_is_noticed_by_heartbeat_when_idle(self) -> None:
        await self.goes_on(1)
        self.proxy.stall()
        await self.publisher.publish(Message(b"later"), "", self.load.queue)
        self.noticed_by_heartbeat()

    async def test_network_that_passes_one_byte_at_a_time(self) -> None:
        self.proxy.piece = 1
        await self.goes_on(200)

    async def test_network_that_is_slow_to_answer(self) -> None:
        self.proxy.delay = 0.1
        await self.goes_on(MESSAGES)
