"""Clients of ours on brokers in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Message, Queue, Topology
from netdemo.testing import MemoryBroker, MemoryNetwork
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from netdemo.amqp import Delivery

QUEUE = "work"
WORK = Topology(queues=(Queue(QUEUE),))


class MemoryClientTestCase(TidyTestCase):
    """A client that is ready on a broker in memory, with a queue; its delays are 1 s, 2 s ...

    When clients and brokers are stopped, no DelayedCall is left.
    """

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.broker = self.add_broker("memory")
        self.addCleanup(self.no_timer_is_left)
        self.client = self.add_client(topology=WORK)
        self.network.advance()

    def add_broker(self, host: str) -> MemoryBroker:
        """Return another broker, which is stopped when the test ends."""
        broker = MemoryBroker(self.network, host)
        self.addCleanup(broker.stop)
        return broker

    def add_client(self, *others: MemoryBroker, **options: Any) -> AMQPClient:
        """Return a client that connects, and is stopped when the test ends."""
        client = self.broker.client(*others, retry_policy=lambda n: 1.0 + n, **options)
        client.startService()
        self.addCleanup(self.stop, client)
        return client

    def stop(self, client: AMQPClient) -> None:
        """Stop a client, which takes no longer than it may."""
        stopping = client.stopService()
        self.network.advance(30)
        self.successResultOf(stopping)

    def no_timer_is_left(self) -> None:
        """Look whether anybody waits for time to pass."""
        self.network.advance()
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def result(self, awaited: Deferred[Any] | Coroutine[Any, Any, Any], seconds: float = 0) -> Any:
        """Return what a Deferred has fired with when this time has passed."""
        waiting = awaited if isinstance(awaited, Deferred) else Deferred.fromCoroutine(awaited)
        self.network.advance(seconds)
        return self.successResultOf(waiting)

    def failure(self, awaited: Deferred[Any], *expected: type[Exception]) -> Any:
        """Return the exception with which a Deferred fails at once."""
        self.network.advance()
        return self.failureResultOf(awaited, *expected).value

    def publish(self, *bodies: bytes) -> None:
        """Publish messages to the queue; they are confirmed."""
        for body in bodies:
            self.result(self.client.publish(Message(body), routing_key=QUEUE))

    def collect(self, client: AMQPClient | None = None) -> list[bytes]:
        """Consume from the queue; return the list of the bodies that come, now and later."""
        bodies: list[bytes] = []

        def handler(delivery: Delivery) -> None:
            bodies.append(delivery.message.body)

        self.result((client or self.client).consume(QUEUE, handler))
        return bodies

    def ready(self, queue: str = QUEUE) -> int:
        """Return how many messages wait in a queue."""
        return self.broker.broker.vhost("/").queue(queue).count()
