"""`AMQPClient.undeclare`: what is declared no more, and what of it is deleted."""

from __future__ import annotations

from typing import Any

from pika import spec
from twisted.internet.error import ConnectionLost

from netdemo.amqp.topology import Binding, Exchange, Queue, Topology
from netdemo.errors import ChannelClosedByUs
from tests.clients import ClientTestCase

WORK = Topology(queues=(Queue("work"),))
OWN = Topology(
    (Exchange("e"),), (Queue("own", durable=False, exclusive=True),), (Binding("e", "own", "k"),)
)
REFUSAL = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'work' in vhost '/'"
DELETING = [spec.Channel.Open, spec.Queue.Delete, spec.Channel.Close]


class UndeclareTests(ClientTestCase):
    """`AMQPClient.undeclare` on a connection."""

    def setUp(self) -> None:
        super().setUp()
        self.client.startService()
        self.peer = self.accept()

    def sent(self) -> list[type]:
        """Agree; return the kinds of what the client asked."""
        return [type(each) for each in self.peer.agree()]

    def declare(self, topology: Topology) -> None:
        """Declare a topology to which the broker agrees."""
        declaring = self.client.declare(topology)
        self.peer.agree()
        self.successResultOf(declaring)

    def declared_on_the_next_connection(self) -> list[Any]:
        """Lose the connection; return what is declared on the next one."""
        self.peer.wire.end(ConnectionLost())
        self.reactor.advance(1)
        peer = self.connect().let_in()
        return [each for each in peer.agree() if isinstance(each, spec.Queue.Declare)]

    def test_durable_queue_stays_and_is_declared_no_more(self) -> None:
        self.declare(WORK)
        self.client.undeclare(WORK)
        self.assertEqual(self.peer.received(), [])
        self.assertEqual(self.declared_on_the_next_connection(), [])

    def test_exclusive_queue_is_deleted(self) -> None:
        self.declare(OWN)
        self.client.undeclare(OWN)
        asked = self.peer.agree()
        self.assertEqual([type(each) for each in asked], DELETING)
        self.assertEqual(asked[1].queue, "own")
        self.assertEqual(self.declared_on_the_next_connection(), [])

    def test_what_was_declared_twice_stays_until_it_was_undeclared_twice(self) -> None:
        self.declare(OWN)
        self.declare(OWN)
        self.client.undeclare(OWN)
        self.assertEqual(self.peer.received(), [])
        self.client.undeclare(OWN)
        self.assertEqual(self.sent(), DELETING)

    def test_what_was_not_declared_is_nothing(self) -> None:
        self.client.undeclare(OWN)
        self.assertEqual(self.peer.received(), [])

    def test_what_is_left_goes_on(self) -> None:
        self.declare(OWN)
        self.declare(WORK)
        self.client.undeclare(OWN)
        self.peer.agree()
        (declared,) = self.declared_on_the_next_connection()
        self.assertEqual(declared.queue, "work")

    def test_who_waits_for_its_declaration_is_told(self) -> None:
        declaring = self.client.declare(WORK)
        self.client.undeclare(WORK)
        self.failureResultOf(declaring, ChannelClosedByUs)
        self.peer.agree()

    def test_while_it_is_declared_its_queue_is_deleted_after_that(self) -> None:
        declaring = self.client.declare(OWN)
        self.peer.expect(spec.Channel.Open)
        self.peer.send(spec.Channel.OpenOk(), channel=2)
        self.peer.expect(spec.Exchange.Declare)
        self.peer.send(spec.Exchange.DeclareOk(), channel=2)
        self.peer.expect(spec.Queue.Declare)
        self.client.undeclare(OWN)
        self.failureResultOf(declaring, ChannelClosedByUs)
        self.peer.send(spec.Queue.DeclareOk("own", 0, 0), channel=2)
        self.assertEqual(self.sent(), [spec.Channel.Close, *DELETING])

    def test_while_it_waits_for_its_turn_it_is_not_declared(self) -> None:
        first = self.client.declare(WORK)
        second = self.client.declare(OWN)
        self.client.undeclare(OWN)
        self.failureResultOf(second, ChannelClosedByUs)
        self.assertNotIn(spec.Exchange.Declare, self.sent())
        self.successResultOf(first)

    def test_what_was_refused_is_tried_no_more(self) -> None:
        self.client.declare(WORK).addErrback(lambda _: None)
        self.peer.expect(spec.Channel.Open)
        self.peer.send(spec.Channel.OpenOk(), channel=2)
        self.peer.expect(spec.Queue.Declare)
        self.peer.send(spec.Channel.Close(406, REFUSAL, 50, 10), channel=2)
        self.peer.agree()
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        self.client.undeclare(WORK)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_by_who_is_told_that_it_is_declared(self) -> None:
        declaring = self.client.declare(OWN)
        declaring.addCallback(lambda _: self.client.undeclare(OWN))
        asked = self.sent()
        self.successResultOf(declaring)
        self.assertEqual(asked[-3:], DELETING)

    def test_by_who_is_told_that_it_is_refused(self) -> None:
        declaring = self.client.declare(WORK).addErrback(lambda _: self.client.undeclare(WORK))
        self.peer.expect(spec.Channel.Open)
        self.peer.send(spec.Channel.OpenOk(), channel=2)
        self.peer.expect(spec.Queue.Declare)
        self.peer.send(spec.Channel.Close(406, REFUSAL, 50, 10), channel=2)
        self.peer.agree()
        self.successResultOf(declaring)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_declared_again_at_once_it_is_there(self) -> None:
        self.declare(OWN)
        self.client.undeclare(OWN)
        declaring = self.client.declare(OWN)
        asked = self.sent()
        self.successResultOf(declaring)
        self.assertLess(asked.index(spec.Queue.Delete), asked.index(spec.Queue.Declare))

    def test_connection_that_ends_while_it_is_deleted_is_no_fault(self) -> None:
        self.declare(OWN)
        self.client.undeclare(OWN)
        self.peer.expect(spec.Channel.Open)
        self.peer.send(spec.Channel.OpenOk(), channel=2)
        self.peer.expect(spec.Queue.Delete)
        self.assertEqual(self.declared_on_the_next_connection(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_that_is_stopped_while_it_is_deleted_is_no_fault(self) -> None:
        self.declare(OWN)
        self.client.undeclare(OWN)
        stopping = self.client.stopService()
        self.sent()
        self.successResultOf(stopping)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_without_a_connection_it_is_forgotten(self) -> None:
        self.declare(OWN)
        self.peer.wire.end(ConnectionLost())
        self.client.undeclare(OWN)
        self.reactor.advance(1)
        self.accept()
        self.assertNotIn(spec.Queue.Declare, [type(each) for each in self.peer.agree()])
