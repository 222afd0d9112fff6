"""`netdemo.bridge.serve`: the connections that it keeps to the TCP server, and how it stops."""

from __future__ import annotations

from netdemo.amqp import Message
from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.bridge.serve import CLOSES_WITHIN
from netdemo.errors import NotFound, RemoteError
from tests.memory_clients import QUEUE
from tests.serving import ServeTestCase

LONGEST_FIRST_DELAY = 2.0


class PoolTests(ServeTestCase):
    """Two connections."""

    servers = 2

    def test_both_are_made_before_there_is_a_request(self) -> None:
        self.assertEqual(self.attempting(), 2)

    def test_each_is_asked_one_request_at_once(self) -> None:
        wires = [self.accept(), self.accept()]
        calls = [self.call(b"a"), self.call(b"b"), self.call(b"c")]
        self.assertEqual([wire.value() for wire in wires], [b"a\n", b"b\n"])
        self.answer(wires[1], b"B\n")
        self.assertEqual([wire.value() for wire in wires], [b"a\n", b"c\n"])
        self.answer(wires[1], b"C\n")
        self.answer(wires[0], b"A\n")
        self.assertEqual([self.successResultOf(call) for call in calls], [b"A", b"B", b"C"])

    def test_oldest_is_asked_first(self) -> None:
        wires = [self.accept(), self.accept()]
        self.call(b"a")
        self.answer(wires[0], b"A\n")
        self.call(b"b")
        self.assertEqual([wire.value() for wire in wires], [b"", b"b\n"])

    def test_requests_that_wait_are_asked_in_order(self) -> None:
        for body in (b"a", b"b"):
            self.call(body)
        self.assertEqual([self.accept().value(), self.accept().value()], [b"a\n", b"b\n"])

    def test_one_that_breaks_costs_the_other_nothing(self) -> None:
        wires = [self.accept(), self.accept()]
        calls = [self.call(b"a"), self.call(b"b")]
        self.end(wires[0])
        self.answer(wires[1], b"B\n")
        self.assertEqual(self.successResultOf(calls[1]), b"B")
        self.assertEqual(wires[1].value(), b"")  # it has been asked before
        wires[0] = self.accept()
        self.answer(wires[0], b"A\n")
        self.assertEqual(self.successResultOf(calls[0]), b"A")


class ReconnectingTests(ServeTestCase):
    """A connection that ends, or can't be made."""

    def test_one_that_has_replied_is_made_again_at_once(self) -> None:
        wire = self.accept()
        self.call()
        self.answer(wire, b"A\n")
        self.advance(CLOSES_WITHIN + 1)
        self.end(wire)
        self.assertEqual(self.attempting(), 1)

    def test_one_that_has_not_is_made_again_later(self) -> None:
        self.end(self.accept())
        self.assertEqual(self.attempting(), 0)
        self.advance(LONGEST_FIRST_DELAY)
        self.assertEqual(self.attempting(), 1)

    def test_attempts_are_made_later_and_later(self) -> None:
        for failures in range(1, 6):
            self.refuse()
            self.advance(0.4 * 2**failures)
            self.assertEqual(self.attempting(), 0)
            self.advance(0.6 * 2**failures + 1.5)
            self.assertEqual(self.attempting(), 1)

    def test_request_that_waits_has_the_next_made_at_once(self) -> None:
        for _ in range(5):
            self.refuse()
            self.advance(40)
        self.refuse()
        call = self.call()
        self.assertEqual(self.attempting(), 1)
        self.answer(self.accept(), b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")

    def test_request_that_waits_has_no_more_than_one_made_at_once(self) -> None:
        self.refuse()
        self.call()
        self.refuse()
        self.assertEqual(self.attempting(), 0)

    def test_one_that_is_being_aborted_is_given_to_nobody(self) -> None:
        wire = self.accept()
        abort = wire.abortConnection
        wire.abortConnection = lambda: None  # type: ignore[method-assign]
        self.answer(wire, b"unasked\n")
        self.answer(wire, b"more\n")
        self.call()
        self.assertEqual(wire.value(), b"")
        self.assertEqual(len(self.logged), 1)
        abort()

    def test_connection_that_is_cut_off_is_not_told_to_be_missing(self) -> None:
        wire = self.accept()
        call = self.call()
        self.answer(wire, b"A\nB\n")
        self.failureResultOf(call, RemoteError)
        self.assertEqual([each for each in self.logged if "no connection" in each], [])

    def test_reason_is_logged_once_until_the_server_has_replied(self) -> None:
        for _ in range(3):
            self.refuse()
            self.advance(40)
        told = "no connection to the server: Connection refused; trying again and again"
        self.assertEqual([each for each in self.logged if told in each], self.logged)
        self.assertEqual(len(self.logged), 1)
        wire = self.accept()
        self.call()
        self.answer(wire, b"A\n")
        self.advance(CLOSES_WITHIN + 1)
        self.end(wire)
        self.refuse()
        self.assertEqual(len(self.logged), 2)


class ClosingServerTests(ServeTestCase):
    """A server that closes each connection after its answer."""

    def served(self, body: bytes, reply: bytes) -> None:
        """Make a request, and let the server answer and close."""
        call = self.call(body)
        wire = self.accept()
        self.assertEqual(wire.value(), body + b"\n")
        self.answer(wire, reply + b"\n")
        self.assertEqual(self.successResultOf(call), reply)
        self.end(wire)

    def test_every_request_is_answered_once(self) -> None:
        for number in range(5):
            self.served(b"%d" % number, b"reply %d" % number)
        self.assertEqual((self.route.answered, self.route.requeued), (5, 0))

    def test_request_that_it_did_not_read_any_more_is_asked_again(self) -> None:
        wire = self.accept()
        calls = [self.call(b"a"), self.call(b"b")]
        self.answer(wire, b"A\n")
        self.assertEqual(wire.value(), b"b\n")
        self.end(wire)
        wire = self.accept()
        self.assertEqual(wire.value(), b"b\n")
        self.answer(wire, b"B\n")
        self.assertEqual([self.successResultOf(call) for call in calls], [b"A", b"B"])

    def test_once_it_is_known_no_request_meets_a_connection_that_closes(self) -> None:
        self.served(b"a", b"A")
        wire = self.accept()
        calls = [self.call(b"b"), self.call(b"c")]
        self.answer(wire, b"B\n")
        self.assertEqual(wire.value(), b"")
        self.end(wire)
        wire = self.accept()
        self.answer(wire, b"C\n")
        self.assertEqual([self.successResultOf(call) for call in calls], [b"B", b"C"])
        self.assertEqual(self.route.requeued, 0)

    def test_server_that_keeps_a_connection_after_all_is_asked_again_on_it(self) -> None:
        self.served(b"a", b"A")
        wire = self.accept()
        calls = [self.call(b"b"), self.call(b"c"), self.call(b"d")]
        self.answer(wire, b"B\n")
        self.advance(CLOSES_WITHIN)
        self.assertEqual(wire.value(), b"c\n")
        self.answer(wire, b"C\n")
        self.assertEqual(wire.value(), b"d\n")
        self.answer(wire, b"D\n")
        self.assertEqual([self.successResultOf(call) for call in calls], [b"B", b"C", b"D"])

    def test_server_that_closes_after_more_than_one_answer_is_none(self) -> None:
        wire = self.accept()
        for _ in range(2):
            self.call(b"a")
            self.answer(wire, b"A\n")
        self.end(wire)
        wire = self.accept()
        self.call(b"b")
        self.call(b"c")
        self.answer(wire, b"B\n")
        self.assertEqual(wire.value(), b"c\n")

    def test_server_that_closes_an_idle_connection_later_is_none(self) -> None:
        wire = self.accept()
        self.call(b"a")
        self.answer(wire, b"A\n")
        self.advance(CLOSES_WITHIN + 1)
        self.end(wire)
        wire = self.accept()
        self.call(b"b")
        self.call(b"c")
        self.answer(wire, b"B\n")
        self.assertEqual(wire.value(), b"c\n")


class StoppingTests(ServeTestCase):
    """`ServeService.stopService`."""

    def test_request_in_hand_is_answered_and_the_next_left_in_the_queue(self) -> None:
        wire = self.accept()
        call, other = self.call(b"a"), self.call(b"b")
        stopped = self.route.stopService()
        self.network.advance()
        self.assertNoResult(stopped)
        self.answer(wire, b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")
        self.successResultOf(stopped)
        self.assertFalse(wire.connected)
        self.assertNoResult(other)
        self.assertEqual(self.ready(), 1)

    def test_it_leaves_no_channel(self) -> None:
        def channels() -> int:
            self.network.advance()
            return sum(len(each._channels) for each in self.broker.broker.connections)

        before = channels()
        self.route.stopService()
        self.assertEqual(channels(), before - 2)

    def test_idle_route_is_stopped_at_once(self) -> None:
        wire = self.accept()
        stopped = self.route.stopService()
        self.network.advance()
        self.successResultOf(stopped)
        self.assertFalse(wire.connected)

    def test_it_is_stopped_while_it_connects_and_while_it_waits(self) -> None:
        for refusing in (False, True):
            if refusing:
                self.refuse()
            stopped = self.route.stopService()
            self.network.advance()
            self.successResultOf(stopped)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.attempts = len(self.reactor.tcpClients)
            self.route.startService()
            self.network.advance()

    def test_started_again_it_serves_again(self) -> None:
        self.accept()
        stopped = self.route.stopService()
        self.network.advance()
        self.successResultOf(stopped)
        self.route.startService()
        self.network.advance()
        call = self.call()
        self.answer(self.accept(), b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")

    def test_stopping_the_client_too_answers_what_is_in_hand(self) -> None:
        wire = self.accept()
        call = self.call()
        stopped = [self.route.stopService(), self.server.stopService()]
        self.network.advance()
        self.answer(wire, b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")
        for each in stopped:
            self.successResultOf(each)


class StoppingInTimeTests(ServeTestCase):
    """A server that takes longer than stopping may."""

    reply_timeout = 60

    def test_request_without_reply_goes_back_to_the_queue(self) -> None:
        wire = self.accept()
        call = self.call()
        stopped = self.route.stopService()
        self.advance(STOP_TIMEOUT - 0.1)
        self.assertNoResult(stopped)
        self.advance(0.1)
        self.successResultOf(stopped)
        self.assertFalse(wire.connected)
        self.assertNoResult(call)
        self.assertEqual(self.ready(), 1)

    def test_redelivered_one_does_too(self) -> None:
        call = self.call()
        self.end(self.accept())
        self.accept()
        stopped = self.route.stopService()
        self.advance(STOP_TIMEOUT)
        self.successResultOf(stopped)
        self.assertNoResult(call)
        self.assertEqual(self.ready(), 1)
        self.assertEqual((self.route.requeued, self.route.failed), (2, 0))

    def test_one_that_waits_for_a_connection_does_too(self) -> None:
        self.call()
        stopped = self.route.stopService()
        self.advance(STOP_TIMEOUT)
        self.successResultOf(stopped)
        self.assertEqual(self.ready(), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class DeletedQueueTests(ServeTestCase):
    """A queue that somebody deletes."""

    def test_it_is_declared_again_and_served(self) -> None:
        wire = self.accept()
        vhost = self.broker.broker.vhost("/")
        self.broker.broker.turns.run(vhost.delete_queue, vhost.queue(QUEUE))
        self.network.advance(5)
        call = self.call()
        self.answer(wire, b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")


class BoundQueueTests(ServeTestCase):
    """Requests that an exchange routes."""

    destination = "/topic/key"

    def test_they_are_served_from_a_queue_of_its_own(self) -> None:
        call = self.caller.call("key", b"a", exchange="amq.topic")
        self.network.advance()
        self.answer(self.accept(), b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")

    def test_queue_is_gone_when_the_route_is_withdrawn(self) -> None:
        stopped = self.route.stopService()
        self.network.advance()
        self.successResultOf(stopped)
        self.result(self.client.publish(Message(b"a"), "amq.topic", "key"))
        self.route.withdraw()
        self.network.advance()
        self.assertEqual(set(self.broker.broker.vhost("/").queues), {QUEUE})


class ExistingQueueTests(ServeTestCase):
    """A queue that is not the route's to declare."""

    destination = "/amq/queue/theirs"

    def test_it_is_not_declared(self) -> None:
        self.assertRaises(NotFound, self.broker.broker.vhost("/").queue, "theirs")
