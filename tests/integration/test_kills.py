"""The node is killed again and again under load: nothing is lost, and the order is kept."""

from __future__ import annotations

import time
from functools import partial

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from netdemo.amqp import Consumer, Publisher, Queue, Topology
from tests.load import Load
from tests.rabbitmq_clients import ClientOnRabbitMQTestCase

MESSAGES = 100_000
PUBLISHERS = 2
KILLS = 10


class KillTests(ClientOnRabbitMQTestCase):
    """SIGKILL, ten times, while messages are under way both to the node and from it."""

    timeout = 900

    async def test_each_message_arrives_and_first_sights_are_in_the_order_of_publishing(
        self,
    ) -> None:
        """A publisher sends what is unconfirmed again in order, before all else.

        So a number that is seen for the first time follows the number before it, whatever is
        seen again meanwhile: of those that were unconfirmed the node has kept the first, or
        none, and what it has confirmed is there.
        """
        topology = Topology(queues=(Queue(self.queue),))
        await self.client.declare(topology)
        await deferToThread(self.node.sync)
        load = Load(self.queue)
        publishers = [Publisher(topology, name=f"publisher {n}") for n in range(PUBLISHERS)]
        for publisher in publishers:
            self.client.add(publisher)
        self.client.add(Consumer(self.queue, load.see, prefetch=500, topology=topology))
        begun = time.monotonic()
        count = MESSAGES // PUBLISHERS
        publishing = gatherResults(
            [Deferred.fromCoroutine(load.publish(each, count)) for each in publishers]
        )
        tenth = MESSAGES // KILLS
        for goal in range(tenth // 2, MESSAGES, tenth):  # in the middle of each tenth
            await load.until(partial(load.has_confirmed, goal))
            await deferToThread(self.node.kill)
            await deferToThread(self.node.start)
        await publishing
        self.assertEqual(load.failed, [])
        await load.all_seen(reactor)
        print(f"{MESSAGES} messages, {KILLS} kills: {time.monotonic() - begun:.0f} s, ", end="")
        print(f"{load.repeats} seen again")
        self.assertEqual(load.strange, [])
        for publisher in publishers:
            self.assertEqual(load.order[str(publisher)], list(range(count)))
