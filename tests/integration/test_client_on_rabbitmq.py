"""`netdemo.amqp` on a real RabbitMQ: outcomes that are true, and everything restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from netdemo.amqp import (
    Consumer,
    Message,
    Publisher,
    Queue,
    Topology,
)
from netdemo.errors import (
    OutcomeUnknownError,
)
from tests import client_behaviours
from tests.rabbitmq_clients import ClientOnRabbitMQTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Delivery


class OutcomeTests(client_behaviours.Outcomes, ClientOnRabbitMQTestCase):
    """What `publish` fires with is what became of the message."""

    async def test_message_that_costs_the_connection_does_so_twice_and_no_more(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue),)))
        poison = "amq.rabbitmq.reply-to.AAAA.BBBB"  # RabbitMQ 3.10 fails over it
        bad = self.client.publish(Message(b"bad"), "", poison, mandatory=False)
        error = await self.failing(bad, OutcomeUnknownError)
        self.assertEqual(error.reply_code, 541)
        await self.client.publish(Message(b"good"), "", self.queue)


class DeclarationTests(client_behaviours.Declarations, ClientOnRabbitMQTestCase):
    """Topology that the broker refuses is told in its words, and touches nothing else."""

    async def test_publisher_waits_until_its_topology_is_accepted(self) -> None:
        await self.client.declare(Topology(queues=(Queue(self.queue, durable=False),)))
        publisher = Publisher(Topology(queues=(Queue(self.queue),)))
        self.client.add(publisher)
        done = publisher.publish(Message(b"x"), "", self.queue)
        await self.client.publish(Message(b"y"), "", self.queue)
        await deferToThread(self.node.control, "delete_queue", self.queue)
        await done


class LeavingTests(client_behaviours.Leaving, ClientOnRabbitMQTestCase):
    """What was begun is ended, and nothing else with it."""


class RejectingTests(client_behaviours.Rejecting, ClientOnRabbitMQTestCase):
    """What consumers give back."""


class RestoringTests(ClientOnRabbitMQTestCase):
    """The broker goes away and comes back."""

    async def test_nothing_unconfirmed_is_lost_when_the_node_is_killed(self) -> None:
        publisher = Publisher(Topology(queues=(Queue(self.queue),)))
        self.client.add(publisher)
        first, *others = messages = [Message(b"%d" % number) for number in range(20_000)]
        await publisher.publish(first, "", self.queue)
        await deferToThread(self.node.sync)  # the queue is there, and is to be there afterwards
        published = [publisher.publish(each, "", self.queue) for each in others]
        await published[2000]
        self.assertFalse(published[-1].called)
        await deferToThread(self.node.kill)
        await deferToThread(self.node.start)
        for each in published:
            await each
        seen = await self.collect(
            len(messages), lambda delivery: (delivery.message.message_id, delivery.message.body)
        )
        self.assertEqual(set(seen), {(each.message_id, each.body) for each in messages})

    async def test_consumer_whose_queue_was_deleted_consumes_again(self) -> None:
        bodies: list[bytes] = []
        arrived: list[Deferred[None]] = [Deferred(), Deferred()]

        def handler(delivery: Delivery) -> None:
            bodies.append(delivery.message.body)
            arrived[len(bodies) - 1].callback(None)

        topology = Topology(queues=(Queue(self.queue),))
        self.client.add(Consumer(self.queue, handler, topology=topology))
        publisher = Publisher(topology)
        self.client.add(publisher)
        await publisher.publish(Message(b"before"), "", self.queue)
        await arrived[0]
        await deferToThread(self.node.control, "delete_queue", self.queue)
        await self.client.declare(topology)
        await publisher.publish(Message(b"after"), "", self.queue)
        await arrived[1]
        self.assertEqual(bodies, [b"before", b"after"])
