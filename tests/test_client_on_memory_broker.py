"""`AMQPClient` on a broker that answers as RabbitMQ does: what it comes back to, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from netdemo.amqp import Message, Queue, Topology
from netdemo.errors import ConnectionClosed, DeclarationError
from tests.memory_clients import QUEUE, MemoryClientTestCase

if TYPE_CHECKING:
    from netdemo.amqp import AMQPClient, Delivery


class ComingBackTests(MemoryClientTestCase):
    """Connections that end, and what is there again on the next."""

    def test_everything_is_restored_when_a_connection_is_lost(self) -> None:
        bodies = self.collect()
        self.broker.drop()
        self.network.advance()
        self.assertEqual(self.client.status.state, "waiting")
        self.network.advance(1)
        self.assertEqual(self.client.status.state, "ready")
        self.publish(b"one")
        self.assertEqual(bodies, [b"one"])

    def test_what_was_held_comes_again(self) -> None:
        seen: list[bool] = []

        def never(delivery: Delivery) -> Deferred[None]:
            seen.append(delivery.redelivered)
            return Deferred()

        self.result(self.client.consume(QUEUE, never, prefetch=2))
        self.publish(b"one")
        self.broker.drop()
        self.network.advance(1)
        self.assertEqual(seen, [False, True])

    def test_topology_is_declared_again_on_a_broker_that_has_lost_it(self) -> None:
        transient = Topology(queues=(Queue("transient", durable=False),))
        self.result(self.client.declare(transient))
        self.broker.restart()
        with self.assertRaisesRegex(Exception, "no queue 'transient'"):
            self.ready("transient")
        self.network.advance(1)
        self.assertEqual(self.ready("transient"), 0)

    def test_durable_messages_outlive_the_broker(self) -> None:
        self.publish(b"one", b"two")
        self.broker.restart()
        self.network.advance(1)
        self.assertEqual(self.collect(), [b"one", b"two"])

    def test_planned_restart_is_told_in_the_brokers_words(self) -> None:
        self.broker.close_connections()
        self.network.advance()
        reason = self.client.status.reason
        assert reason is not None
        self.assertEqual(reason.reply_code, 320)
        self.assertTrue(reason.reply_text.startswith("CONNECTION_FORCED - "))
        self.network.advance(1)
        self.assertEqual(self.client.status.state, "ready")

    def test_delays_grow_while_nobody_listens(self) -> None:
        self.broker.stop()
        states: list[tuple[float, str]] = []
        self.client.add_status_listener(
            lambda status: states.append((self.network.clock.seconds(), status.state))
        )
        self.network.advance(7)
        attempts = [seconds for seconds, state in states if state == "connecting"]
        self.assertEqual(attempts, [1, 3, 6])

    def test_broker_that_goes_silent_is_given_up_by_heartbeat(self) -> None:
        self.broker.stall()
        self.network.advance(300)
        self.assertIn(self.client.status.state, ("connecting", "waiting"))
        self.broker.resume()
        self.network.advance(30)
        self.assertEqual(self.client.status.state, "ready")
        self.publish(b"one")

    def test_refused_login_is_told_and_tried_again(self) -> None:
        self.broker.refuse_logins()
        self.broker.drop()
        self.network.advance()
        ready = self.client.when_ready(fail_after_failures=1)
        self.network.advance(1)
        error = self.failure(ready, ConnectionClosed)
        self.assertEqual(error.reply_code, 403)
        self.broker.accept_logins()
        self.network.advance(30)
        self.assertEqual(self.client.status.state, "ready")

    def test_channels_that_the_broker_closes_are_opened_again(self) -> None:
        bodies = self.collect()
        self.broker.close_channels(406, "PRECONDITION_FAILED - timed out")
        self.network.advance(10)
        self.publish(b"one")
        self.assertEqual(bodies, [b"one"])
        self.assertEqual(self.client.status.state, "ready")

    def test_cancelled_consumer_consumes_again(self) -> None:
        bodies = self.collect()
        self.broker.cancel_consumers(QUEUE)
        self.network.advance(10)
        self.publish(b"one")
        self.assertEqual(bodies, [b"one"])

    def test_refused_declaration_is_told_and_costs_nothing_else(self) -> None:
        other = Topology(queues=(Queue(QUEUE, durable=False),))
        error = self.failure(self.client.declare(other), DeclarationError)
        self.assertEqual(error.reply_code, 406)
        self.assertIn("inequivalent arg 'durable' for queue", error.reply_text)
        self.publish(b"one")


class FailoverTests(MemoryClientTestCase):
    """One client, two brokers."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.add_broker("other")
        self.client: AMQPClient = self.add_client(
            self.other, topology=Topology(queues=(Queue(QUEUE),))
        )
        self.network.advance()

    def test_next_broker_takes_over_and_everything_is_there(self) -> None:
        self.assertEqual(self.client.status.broker, "amqp://memory:5672/")
        bodies = self.collect()
        self.broker.stop()
        self.network.advance(2)
        self.assertEqual(self.client.status.broker, "amqp://other:5672/")
        self.publish(b"one")
        self.assertEqual(bodies, [b"one"])
        self.broker.start()

    def test_unconfirmed_messages_go_to_the_next_broker(self) -> None:
        self.broker.stall()
        publishing = self.client.publish(Message(b"one"), routing_key=QUEUE)
        self.network.advance()
        self.assertNoResult(publishing)
        self.broker.stop()
        self.broker.resume()
        self.result(publishing, 2)
        self.assertEqual(self.collect(), [b"one"])
        self.broker.start()


class StoppingTests(MemoryClientTestCase):
    """What is finished before the connection is closed, and what is given back."""

    def test_handlers_in_hand_are_waited_for(self) -> None:
        handling: Deferred[None] = Deferred()
        self.result(self.client.consume(QUEUE, lambda _: handling))
        self.publish(b"one")
        stopping = self.client.stopService()
        self.network.advance(5)
        self.assertNoResult(stopping)
        handling.callback(None)
        self.result(stopping)
        self.assertEqual(self.ready(), 0)

    def test_messages_that_are_not_handled_in_time_are_in_the_queue_again(self) -> None:
        self.result(self.client.consume(QUEUE, lambda _: Deferred(), prefetch=2))
        self.publish(b"one", b"two", b"three")
        self.result(self.client.stopService(), 10)
        self.assertEqual(self.ready(), 3)

    def test_confirms_are_waited_for(self) -> None:
        self.broker.stall()
        publishing = self.client.publish(Message(b"one"), routing_key=QUEUE)
        stopping = self.client.stopService()
        self.network.advance(5)
        self.assertNoResult(stopping)
        self.broker.resume()
        self.result(stopping)
        self.successResultOf(publishing)
        self.assertEqual(self.broker.broker.connections, {})
