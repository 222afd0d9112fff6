"""`netdemo.amqp.client`: what those who hear of its state may do to it, there and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdemo.amqp.consumer import Consumer
from netdemo.errors import ConnectionClosed
from tests.clients import ClientTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from netdemo.amqp.status import Observable, Status


class StoppingListenerTests(ClientTestCase):
    """A listener that stops the client."""

    def setUp(self) -> None:
        super().setUp()
        self.stopping: list[Deferred[None]] = []

    def stop_when(self, state: str, of: Observable | None = None) -> None:
        """Stop the client, once, when it or a consumer is in `state`."""

        def listen(status: Status) -> None:
            if status.state == state and not self.stopping:
                self.stopping.append(self.client.stopService())

        (of or self.client).add_status_listener(listen)

    def assert_stopped(self, attempts: int) -> None:
        """It has stopped, after so many attempts to connect, and makes no more of them."""
        self.successResultOf(self.stopping[0])
        self.assertEqual(self.client.status.state, "stopped")
        self.reactor.advance(100)
        self.assertEqual(len(self.reactor.tcpClients), attempts)

    def test_at_the_first_attempt_to_connect(self) -> None:
        self.stop_when("connecting")
        self.client.startService()
        self.assert_stopped(attempts=0)

    def test_at_a_later_attempt(self) -> None:
        self.client.startService()
        self.refuse()
        self.stop_when("connecting")
        self.reactor.advance(2)
        self.assert_stopped(attempts=1)

    def test_while_it_waits(self) -> None:
        self.stop_when("waiting")
        self.client.startService()
        self.refuse()
        self.assert_stopped(attempts=1)

    def test_when_it_is_ready_those_who_wait_for_that_fail(self) -> None:
        self.stop_when("ready")
        self.client.startService()
        ready = self.client.when_ready()
        self.accept()
        self.failureResultOf(ready, ConnectionClosed)
        self.assert_stopped(attempts=1)

    def test_when_a_consumer_of_it_starts(self) -> None:
        consumer = Consumer("q", lambda _: None)
        self.client.add(consumer)
        self.client.startService()
        self.successResultOf(self.client.stopService())
        self.stop_when("waiting", consumer)
        self.client.startService()
        self.assert_stopped(attempts=1)

    def test_it_can_be_started_again_there_too(self) -> None:
        self.stop_when("connecting")
        self.client.add_status_listener(self.start_again)
        self.client.startService()
        self.successResultOf(self.stopping[0])
        self.accept()
        self.assertEqual(self.client.status.state, "ready")
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def start_again(self, status: Status) -> None:
        """Start the client that was stopped."""
        if status.state == "stopped" and not self.client.running:
            self.client.startService()
