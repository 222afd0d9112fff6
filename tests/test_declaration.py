"""`netdemo.amqp.declaration`: topologies are declared on every connection, item by item."""

from __future__ import annotations

from pika import spec
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost

from netdemo.amqp.client import STOP_TIMEOUT, AMQPClient
from netdemo.amqp.message import Message
from netdemo.amqp.session import HANDSHAKE_TIMEOUT
from netdemo.amqp.topology import Binding, Exchange, Queue, Topology
from netdemo.errors import ConnectionClosed, DeclarationError
from tests.clients import ClientTestCase, memory_endpoint

DIFFERENT = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'b' in vhost '/'"
THREE = Topology(exchanges=(Exchange("a"), Exchange("b"), Exchange("c")))


class DeclareTests(ClientTestCase):
    """`AMQPClient.declare` at any moment."""

    def test_fires_when_all_is_declared_and_its_channel_closed(self) -> None:
        self.client.startService()
        peer = self.accept()
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        asked = [type(each) for each in peer.agree()]
        self.successResultOf(declaring)
        self.assertEqual(asked, [spec.Channel.Open, spec.Exchange.Declare, spec.Channel.Close])

    def test_exchanges_come_first_and_bindings_last(self) -> None:
        self.client.startService()
        peer = self.accept()
        self.client.declare(
            Topology((Exchange("e"), Exchange("f")), (Queue("q"),), (Binding("e", "q"),))
        )
        asked = [type(each) for each in peer.agree()][1:-1]
        self.assertEqual(
            asked,
            [spec.Exchange.Declare, spec.Exchange.Declare, spec.Queue.Declare, spec.Queue.Bind],
        )

    def test_waits_for_a_connection(self) -> None:
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        self.client.startService()
        self.assertNoResult(declaring)
        self.accept()
        self.successResultOf(declaring)

    def test_of_nothing_waits_for_a_connection_too(self) -> None:
        declaring = self.client.declare(Topology())
        self.client.startService()
        self.assertNoResult(declaring)
        self.accept()
        self.successResultOf(declaring)

    def test_happens_again_on_every_later_connection(self) -> None:
        self.client.startService()
        peer = self.accept()
        self.client.declare(Topology(exchanges=(Exchange("e"),)))
        peer.agree()
        peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        self.accept()
        self.assertIn(spec.Exchange.Declare, [type(each) for each in self.asked])

    def test_of_the_same_twice_is_kept_once(self) -> None:
        self.client.startService()
        peer = self.accept()
        for _ in range(2):
            declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
            self.assertIn(spec.Exchange.Declare, [type(each) for each in peer.agree()])
            self.successResultOf(declaring)
        peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        self.accept()
        declared = [each for each in self.asked if isinstance(each, spec.Exchange.Declare)]
        self.assertEqual(len(declared), 1)

    def test_one_that_comes_later_waits_for_the_one_before(self) -> None:
        self.client.startService()
        peer = self.accept()
        first = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        second = self.client.declare(Topology(queues=(Queue("q"),)))
        peer.expect(spec.Channel.Open)
        peer.send(spec.Channel.OpenOk(), channel=2)
        peer.expect(spec.Exchange.Declare)
        self.assertEqual(peer.received(), [])
        peer.send(spec.Exchange.DeclareOk(), channel=2)
        peer.agree()
        self.successResultOf(first)
        self.successResultOf(second)

    def test_goes_on_when_the_connection_is_lost_meanwhile(self) -> None:
        self.client.startService()
        peer = self.accept()
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        peer.wire.end(ConnectionLost())
        self.assertNoResult(declaring)
        self.reactor.advance(1)
        self.accept()
        self.successResultOf(declaring)

    def test_cancelled_leaves_the_topology_declared(self) -> None:
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        declaring.cancel()
        self.failureResultOf(declaring, CancelledError)
        self.client.startService()
        self.accept()
        self.assertIn(spec.Exchange.Declare, [type(each) for each in self.asked])

    def test_fails_when_the_client_stops(self) -> None:
        declaring = self.client.declare(Topology(exchanges=(Exchange("e"),)))
        self.client.startService()
        self.successResultOf(self.client.stopService())
        self.failureResultOf(declaring, ConnectionClosed)


class RefusedTests(ClientTestCase):
    """What the broker refuses is told for the one item, and costs the others nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.client.startService()
        self.peer = self.accept()
        self.declaring = self.client.declare(THREE)
        self.refuse_b()

    def refuse_b(self) -> None:
        """Agree to a, and refuse b."""
        peer = self.peer
        peer.expect(spec.Channel.Open)
        peer.send(spec.Channel.OpenOk(), channel=2)
        self.assertEqual(peer.expect(spec.Exchange.Declare).exchange, "a")
        peer.send(spec.Exchange.DeclareOk(), channel=2)
        peer.expect(spec.Exchange.Declare)
        peer.send(spec.Channel.Close(406, DIFFERENT, 40, 10), channel=2)

    def declared(self) -> list[str]:
        """Agree from now on; return which exchanges were declared."""
        asked = self.peer.agree()
        return [each.exchange for each in asked if isinstance(each, spec.Exchange.Declare)]

    def test_the_others_are_declared_on_another_channel(self) -> None:
        self.assertEqual(self.declared(), ["c"])
        self.failureResultOf(self.declaring, DeclarationError)

    def test_fails_in_the_brokers_words_when_all_was_tried(self) -> None:
        self.assertNoResult(self.declaring)
        self.peer.agree()
        error = self.failureResultOf(self.declaring, DeclarationError).value
        self.assertEqual(str(error), f"{DIFFERENT} (406)")
        ((item, reason),) = error.refusals
        self.assertEqual((item, reason.reply_code), (Exchange("b"), 406))

    def test_it_is_logged_and_tried_again_alone(self) -> None:
        self.peer.agree()
        self.assertEqual(self.logged[-1], f"exchange 'b': {DIFFERENT} (406); next attempt in 2.0 s")
        self.reactor.advance(2)
        self.assertEqual(self.declared(), ["b"])
        self.reactor.advance(100)
        self.assertEqual(self.declared(), [])
        self.failureResultOf(self.declaring, DeclarationError)

    def test_who_declares_it_again_there_and_then_has_it_tried_once_more(self) -> None:
        again = self.declaring.addErrback(lambda _: self.client.declare(THREE))
        self.assertEqual(self.declared(), ["c", "a", "b", "c"])
        self.successResultOf(again)
        self.reactor.advance(100)
        self.assertEqual(self.declared(), [])

    def test_it_is_tried_again_no_more_when_who_is_told_ends_the_connection(self) -> None:
        self.declaring.addErrback(lambda _: self.peer.wire.end(ConnectionLost()))
        self.declared()
        (reconnecting,) = self.reactor.getDelayedCalls()
        self.assertEqual(reconnecting.getTime() - self.reactor.seconds(), 1.0)

    def test_it_is_tried_again_no_more_when_the_connection_is_lost(self) -> None:
        self.peer.agree()
        self.failureResultOf(self.declaring, DeclarationError)
        self.peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        self.peer = self.connect().let_in()
        self.assertEqual(self.declared(), ["a", "b", "c"])
        self.reactor.advance(100)
        self.assertEqual(self.declared(), [])

    def test_what_cant_be_put_on_the_wire_costs_no_channel(self) -> None:
        self.peer.agree()
        self.failureResultOf(self.declaring, DeclarationError)
        declaring = self.client.declare(Topology((Exchange("e" * 256), Exchange("f"))))
        self.assertEqual(self.declared(), ["f"])
        error = self.failureResultOf(declaring, DeclarationError).value
        self.assertIn("it can't be put on the wire", str(error))


class FirstTests(ClientTestCase):
    """On a new connection the topology comes before publishers and consumers."""

    def setUp(self) -> None:
        super().setUp()
        self.client = AMQPClient(
            self.urls,
            self.reactor,
            topology=Topology(exchanges=(Exchange("e"),)),
            retry_policy=lambda failures: 1.0 + failures,
            endpoint=memory_endpoint,
        )
        self.done = self.client.publish(Message(b"x"), "", "q")
        self.client.startService()
        self.peer = self.connect().let_in()

    def test_nothing_is_published_before_the_broker_has_answered(self) -> None:
        asked = [type(each) for each in self.peer.agree()]
        self.assertLess(asked.index(spec.Exchange.Declare), asked.index(spec.Basic.Publish))
        self.peer.send(spec.Basic.Ack(1), channel=2)
        self.successResultOf(self.done)

    def test_a_refused_item_does_not_hold_the_others_up(self) -> None:
        self.peer.expect(spec.Channel.Open)
        self.peer.send(spec.Channel.OpenOk(), channel=1)
        self.peer.expect(spec.Exchange.Declare)
        self.peer.send(spec.Channel.Close(406, DIFFERENT, 40, 10), channel=1)
        self.assertIn(spec.Basic.Publish, [type(each) for each in self.peer.agree()])
        self.assertEqual(self.client.status.state, "ready")
        self.peer.send(spec.Basic.Ack(1), channel=2)
        self.successResultOf(self.done)

    def test_without_an_answer_it_holds_the_others_up_for_a_while_only(self) -> None:
        self.peer.expect(spec.Channel.Open)
        self.peer.send(spec.Channel.OpenOk(), channel=1)
        self.peer.expect(spec.Exchange.Declare)
        self.assertEqual(self.client.status.state, "connecting")
        self.reactor.advance(HANDSHAKE_TIMEOUT)
        self.assertEqual(self.client.status.state, "ready")
        self.assertIn(
            "amqp://one:1/: the topology is not declared within 10 s; going on without",
            self.logged,
        )
        self.assertIn(spec.Basic.Publish, [type(each) for each in self.peer.agree()])
        self.peer.send(spec.Basic.Ack(1), channel=2)
        self.successResultOf(self.done)

    def test_connection_that_is_lost_meanwhile_is_made_again(self) -> None:
        self.peer.expect(spec.Channel.Open)
        self.peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        peer = self.accept()
        self.assertEqual(self.client.status.state, "ready")
        peer.send(spec.Basic.Ack(1), channel=2)
        self.successResultOf(self.done)

    def test_stopped_meanwhile_it_ends(self) -> None:
        self.peer.expect(spec.Channel.Open)
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        stopping = self.client.stopService()
        self.reactor.advance(STOP_TIMEOUT)
        self.successResultOf(stopping)
        self.assertFalse(self.peer.wire.connected)
