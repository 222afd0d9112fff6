"""A quorum queue on a cluster whose leader is killed again and again under load."""

from __future__ import annotations

from functools import partial

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from netdemo.amqp import AMQPClient, Consumer, Publisher, Queue, Topology
from netdemo.amqp.message import new_message_id
from tests.cluster import the_cluster
from tests.load import Load
from tests.rabbitmq import RabbitMQNode, RabbitMQTestCase

KILLS = 5
RESUMED_WITHIN = 5.0
"""Seconds from a new leader to the next confirm."""
MOST = 10_000_000
"""Messages: more than can be published in the time that the test has."""


class LeaderKilledTests(RabbitMQTestCase):
    """SIGKILL for the leader, while a client that knows the nodes publishes and consumes."""

    timeout = 600

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.cluster = the_cluster()
        await deferToThread(self.cluster.start)
        self.queue = new_message_id()
        self.load = Load(self.queue, under_way=50)

    async def begin(self, *urls: str) -> None:
        """Publish and consume, by way of the first node that can be reached."""
        client = AMQPClient(urls, reactor)
        client.startService()
        self.addCleanup(client.stopService)
        topology = Topology(queues=(Queue(self.queue, arguments={"x-queue-type": "quorum"}),))
        publisher = Publisher(topology)
        client.add(publisher)
        client.add(Consumer(self.queue, self.load.see, prefetch=500, topology=topology))
        self.publishing = Deferred.fromCoroutine(self.load.publish(publisher, MOST))
        await self.load.until(lambda: self.load.has_confirmed(1000))

    async def resumed(self, watching: RabbitMQNode) -> RabbitMQNode:
        """Return the new leader, when publishing has resumed with it."""
        leader, known_at = await deferToThread(self.cluster.watched_leader, watching)
        confirmed = self.load.until(partial(self.load.has_confirmed_after, known_at))
        await confirmed.addTimeout(RESUMED_WITHIN, reactor)
        resumed_at = next(at for at in self.load.confirmed_at if at > known_at)
        print(f"the next confirm comes {resumed_at - known_at:.1f} s after there is a new leader")
        self.assertLess(resumed_at - known_at, RESUMED_WITHIN)
        return leader

    async def end(self) -> None:
        """Publish no more; nothing may be missing."""
        load = self.load
        load.end()
        await self.publishing
        self.assertEqual(load.failed, [])
        await load.all_seen(reactor)
        print(f"{len(load.sent)} messages, {load.refused} refusals, {load.repeats} seen again")
        self.assertEqual(load.strange, [])

    async def test_nothing_is_missing_and_publishing_resumes_with_each_new_leader(self) -> None:
        await self.begin(*self.cluster.urls)
        leader = await deferToThread(self.cluster.leader, self.queue)
        for _ in range(KILLS):
            watching = await deferToThread(
                self.cluster.watch_for_another_leader, self.queue, leader
            )
            await deferToThread(leader.kill)
            new = await self.resumed(watching)
            await deferToThread(leader.start)
            leader = new
        await self.end()
