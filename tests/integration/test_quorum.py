"""A quorum queue on a cluster whose leader is killed again and again under load."""

from __future__ import annotations

import time
from functools import partial

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from netdemo.amqp import AMQPClient, Consumer, Publisher, Queue, Topology
from netdemo.amqp.message import new_message_id
from tests.cluster import Cluster
from tests.load import Load
from tests.rabbitmq import RabbitMQTestCase

KILLS = 5
RESUMED_WITHIN = 5.0
"""Seconds from a new leader to the next confirm."""
MOST = 10_000_000
"""Messages: more than can be published in the time that the test has."""


class LeaderKilledTests(RabbitMQTestCase):
    """SIGKILL for the leader, five times; a client that knows all three nodes."""

    timeout = 600

    async def test_nothing_is_missing_and_publishing_resumes_with_each_new_leader(self) -> None:
        queue = new_message_id()
        cluster = Cluster()
        self.addCleanup(deferToThread, cluster.remove)
        await deferToThread(cluster.start)
        client = AMQPClient(cluster.urls, reactor)
        client.startService()
        self.addCleanup(client.stopService)
        topology = Topology(queues=(Queue(queue, arguments={"x-queue-type": "quorum"}),))
        load = Load(queue, under_way=50)
        publisher = Publisher(topology)
        client.add(publisher)
        client.add(Consumer(queue, load.see, prefetch=500, topology=topology))
        publishing = Deferred.fromCoroutine(load.publish(publisher, MOST))
        await load.until(lambda: load.has_confirmed(1000))
        leader = await deferToThread(cluster.leader, queue)
        for _ in range(KILLS):
            watching = await deferToThread(cluster.watch_for_another_leader, queue, leader)
            killed_at = time.time()
            await deferToThread(leader.kill)
            new, known_at = await deferToThread(cluster.watched_leader, watching)
            confirmed = load.until(partial(load.has_confirmed_after, known_at))
            await confirmed.addTimeout(RESUMED_WITHIN, reactor)
            resumed_at = next(at for at in load.confirmed_at if at > known_at)
            print(f"a new leader {known_at - killed_at:.1f} s after the kill, ", end="")
            print(f"the next confirm {resumed_at - known_at:.1f} s later")
            self.assertLess(resumed_at - known_at, RESUMED_WITHIN)
            await deferToThread(leader.start)
            leader = new
        load.end()
        await publishing
        self.assertEqual(load.failed, [])
        await load.all_seen(reactor)
        print(
            f"{len(load.sent)} messages, {load.refused} refused at first, {load.repeats} seen again"
        )
        self.assertEqual(load.strange, [])
