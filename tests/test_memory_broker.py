"""The broker in memory, and its faults (`netdemo.testing.MemoryBroker`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import BasicProperties, ConnectionParameters, spec
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.task import Clock

from netdemo.broker.passwords import hash_password
from netdemo.broker.permissions import Permissions
from netdemo.broker.users import User, Users
from netdemo.errors import NotFound
from netdemo.testing import MemoryBroker, MemoryNetwork
from tests.contract_client import Channel, ChannelRefused, Client, ConnectionRefused, Lost
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from collections.abc import Coroutine

PERSISTENT = BasicProperties(delivery_mode=2)


class MemoryBrokerTestCase(TidyTestCase):
    """A broker in memory, which leaves no DelayedCall behind when it is stopped."""

    def setUp(self) -> None:
        self.broker = MemoryBroker()
        self.addCleanup(self.no_timer_is_left)

    def no_timer_is_left(self) -> None:
        """Stop the broker, and let its clients know."""
        self.broker.resume()
        self.broker.stop()
        self.broker.advance()
        self.assertEqual(self.broker.clock.getDelayedCalls(), [])

    def result(self, awaited: Deferred[Any] | Coroutine[Any, Any, Any]) -> Any:
        """Return the result of what the broker makes come at once."""
        waiting = awaited if isinstance(awaited, Deferred) else Deferred.fromCoroutine(awaited)
        self.broker.advance()
        return self.successResultOf(waiting)

    def connect(self, **options: Any) -> Client:
        """Return a client with an open connection."""
        client: Client = self.result(connectProtocol(self.broker.endpoint(), Client(**options)))
        self.result(client.shake_hands())
        return client

    def channel(self) -> Channel:
        """Return an open channel on a connection of its own, which confirms what is published."""
        channel: Channel = self.result(self.connect().open_channel())
        self.result(channel.call(spec.Confirm.Select()))
        return channel

    def queue(self, channel: Channel, **options: Any) -> str:
        """Declare a queue; return its name."""
        return str(self.result(channel.call(spec.Queue.Declare(queue="q", **options))).queue)


class MemoryBrokerTests(MemoryBrokerTestCase):
    """What it is."""

    def test_clock_may_be_given(self) -> None:
        clock = Clock()
        broker = MemoryBroker(MemoryNetwork(clock))
        self.assertIs(broker.clock, clock)

    def test_url_has_special_characters_escaped(self) -> None:
        url = self.broker.url("a@b", "c:d/", "e/f")
        self.assertEqual(url, "amqp://a%40b:c%3Ad%2F@memory/e%2Ff")

    def test_client_of_ours_is_ready_after_an_advance(self) -> None:
        client = self.broker.client()
        client.startService()
        self.broker.advance()
        self.assertEqual(client.status.state, "ready")
        self.result(client.stopService())

    def test_pikas_own_protocol_connects_too(self) -> None:
        protocol: Any = TwistedProtocolConnection(
            ConnectionParameters(), custom_reactor=self.broker.clock
        )
        ready = protocol.ready
        connectProtocol(self.broker.endpoint(), protocol)
        self.result(ready)
        channel = self.result(protocol.channel())
        declared = self.result(channel.queue_declare("q"))
        self.assertEqual(declared.method.queue, "q")
        closed = protocol.closed
        protocol.close()
        self.broker.advance()
        self.assertTrue(closed.called)

    def test_users_may_be_given(self) -> None:
        someone = User("someone", {"there": Permissions()}, hash_password(b"x", log_n=1))
        network = self.broker.network
        other = MemoryBroker(network, "other", users=Users([someone], maybeDeferred))
        client = Client("someone", "x", "there")
        self.result(connectProtocol(other.endpoint(), client))
        self.result(client.shake_hands())
        other.stop()

    def test_publishers_are_blocked_above_the_memory_that_is_given(self) -> None:
        self.broker.stop()
        self.broker = MemoryBroker(max_memory=1000)
        channel = self.channel()
        queue = self.queue(channel)
        for _ in range(2):
            channel.publish("", queue, bytes(1000))
        self.broker.advance()
        self.assertIsInstance(channel.client.connection.received[-1], spec.Connection.Blocked)

    def test_broker_is_told_to_be_stopped(self) -> None:
        self.broker.stop()
        with self.assertRaises(ValueError):
            self.broker.block()

    def test_time_of_the_broker_is_that_which_passes_in_advance(self) -> None:
        channel = self.channel()
        queue = self.queue(channel, arguments={"x-message-ttl": 1000})
        channel.publish("", queue, b"one")
        self.broker.advance(0.9)
        self.assertEqual(self.result(channel.get(queue, no_ack=True)).body, b"one")
        channel.publish("", queue, b"two")
        self.broker.advance(1.1)
        self.assertIsNone(self.result(channel.get(queue)))


class FaultTests(MemoryBrokerTestCase):
    """What goes wrong when it is told to."""

    def test_dropped_connection_is_lost_and_another_is_made(self) -> None:
        client = self.connect()
        self.broker.drop()
        self.result(client.lost)
        self.assertEqual(list(self.broker.broker.connections), [])
        self.connect()

    def test_connection_is_lost_in_place_of_the_next_confirm(self) -> None:
        channel = self.channel()
        queue = self.queue(channel)
        self.broker.drop_before_next_confirm()
        channel.publish("", queue, b"one")
        channel.send(spec.Queue.Declare(queue=queue, passive=True))
        self.broker.advance()
        self.assertIsInstance(channel.ended, Lost)
        self.assertEqual([type(each) for each in channel.received], [spec.Queue.DeclareOk])
        again = self.channel()
        self.assertEqual(self.result(again.get(queue)).body, b"one")
        again.publish("", queue, b"two")
        self.broker.advance()
        self.assertIsInstance(again.received[0], spec.Basic.Ack)

    def test_nothing_comes_through_while_it_stalls(self) -> None:
        channel = self.channel()
        self.broker.stall()
        declaring = channel.call(spec.Queue.Declare(queue="q"))
        self.broker.advance(1)
        self.assertNoResult(declaring)
        self.broker.resume()
        self.result(declaring)

    def test_stalled_connection_ends_when_heartbeats_are_missed(self) -> None:
        client = self.connect(heartbeat=10)
        self.broker.stall()
        self.broker.advance(60)
        self.assertEqual(list(self.broker.broker.connections), [])
        self.assertNoResult(client.lost)
        self.broker.resume()
        self.result(client.lost)

    def test_publishers_are_blocked_until_they_are_not(self) -> None:
        channel = self.channel()
        self.broker.block("low on disk")
        told = channel.client.connection.received
        self.broker.advance()
        self.assertEqual(told, [])
        for _ in range(3):
            channel.publish("", "q")
            self.broker.advance()
        self.assertEqual([each.reason for each in told], ["low on disk"])
        self.assertEqual(channel.received, [])
        self.broker.unblock()
        self.broker.advance()
        self.assertIsInstance(told[-1], spec.Connection.Unblocked)
        self.assertEqual(channel.received[-1].delivery_tag, 3)

    def test_next_publish_is_nacked_and_in_no_queue(self) -> None:
        channel = self.channel()
        queue = self.queue(channel)
        self.broker.nack_next_publish()
        channel.publish("", queue, b"one")
        channel.publish("", queue, b"two")
        self.broker.advance()
        answers = [(type(each), each.delivery_tag) for each in channel.received]
        self.assertEqual(answers, [(spec.Basic.Nack, 1), (spec.Basic.Ack, 2)])
        self.assertEqual(self.result(channel.get(queue)).body, b"two")

    def test_consumers_of_a_queue_are_cancelled(self) -> None:
        channel = self.channel()
        queue = self.queue(channel)
        self.result(channel.call(spec.Basic.Consume(queue=queue, consumer_tag="me")))
        self.broker.cancel_consumers(queue)
        self.broker.advance()
        (cancel,) = channel.received
        self.assertEqual((type(cancel), cancel.consumer_tag), (spec.Basic.Cancel, "me"))
        channel.publish("", queue, b"one")
        self.assertEqual(self.result(channel.get(queue)).body, b"one")

    def test_consumers_of_no_queue_are_not_cancelled(self) -> None:
        with self.assertRaises(NotFound):
            self.broker.cancel_consumers("nowhere")

    def test_channels_are_closed_for_a_reason(self) -> None:
        channel = self.channel()
        self.broker.close_channels(406, "PRECONDITION_FAILED - timed out")
        self.broker.advance()
        self.assertIsInstance(channel.ended, ChannelRefused)
        self.assertEqual(str(channel.ended), "406 PRECONDITION_FAILED - timed out")
        self.result(channel.client.open_channel(number=2))

    def test_connections_are_closed_for_a_reason(self) -> None:
        client = self.connect()
        self.broker.close_connections("maintenance")
        self.result(client.lost)
        self.assertIsInstance(client.connection.ended, ConnectionRefused)
        self.assertEqual(str(client.connection.ended), "320 CONNECTION_FORCED - maintenance")

    def test_logins_are_refused_until_they_are_not(self) -> None:
        self.broker.refuse_logins()
        client = Client()
        self.result(connectProtocol(self.broker.endpoint(), client))
        shaking = Deferred.fromCoroutine(client.shake_hands())
        self.broker.advance()
        refused = self.failureResultOf(shaking, ConnectionRefused)
        self.assertIn("ACCESS_REFUSED - Login was refused", str(refused.value))
        self.broker.accept_logins()
        self.connect()

    def test_what_is_durable_survives_a_restart(self) -> None:
        channel = self.channel()
        queue = self.queue(channel, durable=True)
        self.result(channel.call(spec.Queue.Declare(queue="gone")))
        channel.publish("", queue, b"one", PERSISTENT)
        channel.publish("", queue, b"two")
        self.broker.advance()
        self.broker.restart()
        self.result(channel.client.lost)
        again = self.channel()
        self.assertEqual(self.result(again.get(queue)).body, b"one")
        self.assertIsNone(self.result(again.get(queue)))
        refused = again.refused(spec.Queue.Declare(queue="gone", passive=True))
        self.assertEqual(self.result(refused).reply_code, 404)

    def test_what_was_delivered_before_a_restart_is_redelivered(self) -> None:
        channel = self.channel()
        queue = self.queue(channel, durable=True)
        channel.publish("", queue, b"one", PERSISTENT)
        self.result(channel.get(queue, no_ack=False))
        self.broker.restart()
        got = self.result(self.channel().get(queue))
        self.assertTrue(got.method.redelivered)

    def test_connections_are_refused_while_it_is_stopped(self) -> None:
        self.broker.stop()
        client = self.broker.client(retry_policy=lambda _: 1.0)
        client.startService()
        self.broker.advance()
        self.assertEqual(client.status.state, "waiting")
        self.broker.start()
        self.broker.advance(1)
        self.assertEqual(client.status.state, "ready")
        self.result(client.stopService())
