"""Clients on a real broker, whichever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Consumer
from netdemo.amqp.message import new_message_id
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Delivery


class ReadyClientTestCase(TidyTestCase):
    """A client of the broker at `url`, which is ready, and a name for a queue."""

    url: str

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        super().setUp()
        self.queue = new_message_id()
        self.client = self.start_client(self.url)
        return self.client.when_ready()

    def start_client(self, *urls: str, **options: Any) -> AMQPClient:
        """Return a client that connects, and is stopped when the test ends."""
        client = AMQPClient(urls, reactor, **options)
        client.startService()
        self.addCleanup(client.stopService)
        return client

    def failing(self, deferred: Deferred[None], *expected: type[Exception]) -> Deferred[Any]:
        """Fire with the exception that `deferred` fails with, which must be an `expected` one."""
        return self.assertFailure(deferred, *expected)

    def collect(
        self, count: int, key: Any = lambda delivery: delivery.message.body
    ) -> Deferred[list[Any]]:
        """Consume until `count` different keys were seen; fire with all keys in order."""
        seen: list[Any] = []
        complete: Deferred[list[Any]] = Deferred()

        def handler(delivery: Delivery) -> None:
            seen.append(key(delivery))
            if len(set(seen)) == count and not complete.called:
                complete.callback(seen)

        self.client.add(Consumer(self.queue, handler, prefetch=100))
        return complete
