"""`netdemo.bridge.pull`: messages out, acknowledged when the kernel has them."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHandshakeListener, IPullProducer
from twisted.logger import LogLevel, capturedLogs
from zope.interface.verify import verifyObject

from netdemo.address import ExchangeDestination, QueueDestination
from netdemo.amqp import Binding, Exchange, Message, Queue, Topology
from netdemo.bridge.clients import LINGER
from netdemo.bridge.consumers import TAKERS
from netdemo.bridge.pull import PullFactory
from netdemo.bridge.routes import PullRoute
from netdemo.bridge.sending import PIECE
from netdemo.errors import NotFound
from netdemo.listening import Refused
from tests.memory_clients import QUEUE
from tests.pulling import PullTestCase, ReadWire

_CHANNEL: Any = object()


class DeliveringTests(PullTestCase):
    """From the queue to the clients."""

    def test_provides_its_interfaces(self) -> None:
        client, _ = self.connect()
        verifyObject(IPullProducer, client)
        verifyObject(IHandshakeListener, client)

    def test_each_message_is_a_line(self) -> None:
        _, wire = self.connect()
        self.publish(b"a", b"")
        self.assertEqual(wire.take(), b"a\n\n")

    def test_no_more_than_the_prefetch_is_taken_for_a_client_that_does_not_read(self) -> None:
        self.connect()
        self.publish(b"1", b"2", b"3", b"4")
        self.assertEqual(self.ready(), 1)

    def test_what_the_kernel_has_is_acknowledged(self) -> None:
        _, wire = self.connect()
        self.publish(b"1", b"2", b"3", b"4")
        self.assertEqual(self.factory.delivered, 0)
        wire.take()
        self.assertEqual(self.factory.delivered, 3)
        self.assertIsNone(wire.producer)
        self.network.advance()
        self.assertEqual(wire.take(), b"4\n")
        wire.end()
        self.network.advance()
        self.assertEqual(self.ready(), 0)

    def test_next_piece_waits_until_the_last_is_with_the_kernel(self) -> None:
        _, wire = self.connect()
        long = b"x" * PIECE
        self.publish(b"first", long, b"last")
        self.assertEqual(wire.written, [b"first\n"])
        wire.take()
        self.assertEqual(wire.written, [b"first\n", long + b"\n", b"last\n"])

    def test_messages_go_to_all_clients_in_turn(self) -> None:
        wires = [self.connect()[1] for _ in range(3)]
        self.publish(b"1", b"2", b"3")
        self.assertEqual(sorted(wire.take() for wire in wires), [b"1\n", b"2\n", b"3\n"])

    def test_many_clients_share_few_channels(self) -> None:
        for _ in range(TAKERS + 1):
            self.connect()
        users = [user for user in self.client._users if str(user) == str(self.factory.route)]
        self.assertEqual(len(users), 2)
        self.factory.withdraw()
        self.assertFalse(set(users) & set(self.client._users))

    def test_what_the_client_sends_is_dropped(self) -> None:
        client, wire = self.connect()
        client.dataReceived(b"hello?\n")
        self.assertTrue(wire.connected)

    def test_queue_of_an_exchange_is_there_while_nobody_pulls(self) -> None:
        route = PullRoute(ExchangeDestination("amq.fanout", ""), "tcp:7003")
        factory = PullFactory(route, self.client)
        self.network.advance()
        queue = factory.source.queue
        self.assertEqual(self.ready(queue), 0)
        factory.withdraw()
        self.network.advance()
        with self.assertRaises(NotFound):
            self.ready(queue)


class LeavingTests(PullTestCase):
    """A client that leaves gives its messages back."""

    def test_what_it_has_not_taken_goes_to_another(self) -> None:
        _, wire = self.connect()
        self.publish(b"1", b"2", b"3")
        wire.end()
        _, other = self.connect()
        self.assertEqual(other.take(), b"1\n2\n3\n")

    def test_what_it_has_taken_does_not(self) -> None:
        _, wire = self.connect()
        self.publish(b"1", b"2")
        wire.take()
        wire.end()
        self.network.advance()
        self.assertEqual(self.ready(), 0)

    def test_messages_of_many_that_leave_at_once_go_back_without_a_detour(self) -> None:
        wires = [self.connect()[1] for _ in range(3)]
        self.publish(*[b"%d" % number for number in range(9)])
        _, last = self.connect()
        for wire in wires:
            wire.end()
        self.network.advance()
        taken = b""
        while data := last.take():
            taken += data
            self.network.advance()
        self.assertEqual(sorted(taken.split()), [b"%d" % number for number in range(9)])

    def test_client_that_leaves_before_it_is_consumed_for_holds_nothing(self) -> None:
        self.publish(b"1", b"2")
        protocol = self.factory.new_protocol()
        protocol.factory = self.factory
        wire = ReadWire(protocol)
        protocol.makeConnection(wire)
        wire.end()
        self.network.advance()
        self.assertEqual(self.ready(), 2)


class RestoringTests(PullTestCase):
    """The broker, its connection or its queue goes, and comes back."""

    def test_clients_are_consumed_for_on_the_next_connection(self) -> None:
        wires = [self.connect()[1] for _ in range(2)]
        self.broker.drop()
        self.network.advance(5)
        self.publish(b"1", b"2")
        self.assertEqual(sorted(wire.take() for wire in wires), [b"1\n", b"2\n"])

    def test_what_was_not_written_is_not_sent_twice_and_what_was_is_not_acknowledged(self) -> None:
        _, wire = self.connect()
        self.publish(b"1", b"2", b"3")
        self.broker.drop()
        self.network.advance(5)
        self.assertEqual(wire.take(), b"1\n1\n2\n3\n")
        self.network.advance()
        self.assertEqual(self.ready(), 0)

    def test_no_more_than_the_prefetch_waits_however_often_it_is_lost(self) -> None:
        client, _ = self.connect()
        self.publish(b"1", b"2", b"3")
        for _ in range(5):
            self.broker.drop()
            self.network.advance(5)
        self.assertEqual(len(client.waiting), 3)

    def test_queue_that_was_deleted_is_declared_and_consumed_from_again(self) -> None:
        _, wire = self.connect()
        self.broker.cancel_consumers(QUEUE)
        self.network.advance(5)
        self.publish(b"1")
        self.assertEqual(wire.take(), b"1\n")

    def test_client_that_leaves_while_the_broker_is_away_is_forgotten(self) -> None:
        _, wire = self.connect()
        self.publish(b"1")
        self.broker.drop()
        self.network.advance()
        wire.end()
        self.network.advance(5)
        self.assertEqual(self.ready(), 1)

    def test_stopped_and_started_amqp_client_consumes_again(self) -> None:
        _, wire = self.connect()
        self.publish(b"1", b"a\nb")
        stopping = self.client.stopService()
        self.network.advance()
        self.assertNoResult(stopping)  # what was written is in hand
        wire.take()
        self.network.advance(1)
        self.successResultOf(stopping)
        self.client.startService()
        self.network.advance(1)
        self.publish(b"2")
        self.assertEqual(wire.take(), b"2\n")


class UnfitTests(PullTestCase):
    """What can't be written in the framing."""

    def test_message_with_a_newline_is_kept_and_told_and_not_altered(self) -> None:
        _, wire = self.connect()
        with capturedLogs() as logged:
            self.publish(b"a\nb", b"c")
        self.assertEqual(wire.take(), b"c\n")
        self.network.advance()
        self.assertEqual((self.factory.kept, self.ready()), (1, 0))
        (event,) = (each for each in logged if each["log_level"] is LogLevel.error)
        self.assertEqual(event["fate"], "kept")

    def test_it_goes_to_another_when_its_client_leaves_and_no_further(self) -> None:
        _, wire = self.connect()
        self.publish(b"a\nb")
        self.connect()
        self.connect()
        wire.end()
        self.network.advance()
        self.assertEqual(self.factory.kept, 2)

    def test_it_stops_no_other_client(self) -> None:
        wires = [self.connect()[1] for _ in range(2)]
        self.publish(b"a\nb")
        for number in range(20):
            self.publish(b"%d" % number)
            self.assertEqual(b"".join(wire.take() for wire in wires), b"%d\n" % number)

    def test_client_whose_messages_are_all_kept_is_told_in_the_log(self) -> None:
        self.connect()
        with capturedLogs() as logged:
            self.publish(*[b"a\nb"] * 3)
        formats = [event["log_format"] for event in logged if event["log_level"] is LogLevel.error]
        self.assertEqual(len(formats), 4)
        self.assertIn("gets no more messages", formats[-1])

    def test_it_is_one_of_the_prefetch_however_often_its_channel_is_lost(self) -> None:
        self.connect()
        self.publish(b"a\nb")
        with capturedLogs() as logged:
            for _ in range(3):
                self.broker.drop()
                self.network.advance(5)
        self.assertEqual(self.factory.kept, 4)
        self.assertFalse(any("no more messages" in event["log_format"] for event in logged))


class RejectUnfitTests(PullTestCase):
    """What can't be written is rejected, where the route says so."""

    options = {"reject_unfit": True}  # noqa: RUF012

    def test_it_goes_to_the_dead_letter_exchange_as_it_was(self) -> None:
        dead = Queue("dead")
        work = Queue("other", arguments={"x-dead-letter-exchange": "dlx"})
        exchange = Exchange("dlx", "fanout")
        topology = Topology((exchange,), (dead, work), (Binding("dlx", "dead"),))
        self.result(self.client.declare(topology))
        route = PullRoute(QueueDestination("other", declare=False), "tcp:7004", reject_unfit=True)
        self.factory = PullFactory(route, self.client)
        _, wire = self.connect()
        for body in (b"a\nb", b"c"):
            self.result(self.client.publish(Message(body), routing_key="other"))
        self.assertEqual(wire.take(), b"c\n")
        self.network.advance()
        self.assertEqual((self.ready("other"), self.ready("dead")), (0, 1))
        self.assertEqual((self.factory.rejected, self.factory.kept), (1, 0))


class IdleTests(PullTestCase):
    """`idle_timeout`."""

    options = {"idle_timeout": 10.0}  # noqa: RUF012

    def test_client_that_takes_nothing_is_dropped_and_its_messages_go_back(self) -> None:
        _, wire = self.connect()
        self.publish(b"1")
        self.network.advance(9)
        self.assertTrue(wire.connected)
        self.network.advance(1)
        self.assertFalse(wire.connected)
        self.assertEqual((self.factory.idle, self.ready()), (1, 1))

    def test_client_for_whom_nothing_waits_is_not(self) -> None:
        _, wire = self.connect()
        self.publish(b"1", b"a\nb")
        wire.take()
        self.network.advance(60)
        self.assertTrue(wire.connected)

    def test_client_that_takes_a_piece_now_and_then_is_not(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"x" * PIECE, b"2")
        for _ in range(3):
            self.network.advance(9)
            client.resumeProducing()
        self.network.advance(60)
        self.assertTrue(wire.connected)


class StoppingTests(PullTestCase):
    """`PullFactory.stop`."""

    def test_written_messages_are_taken_and_others_go_back(self) -> None:
        client, wire = self.connect()
        self.publish(b"1", b"2", b"a\nb")
        stopped = self.factory.stop()
        self.network.advance()
        self.assertEqual(self.ready(), 2)
        self.assertFalse(wire.disconnecting)
        client.resumeProducing()
        self.assertTrue(wire.disconnecting)
        self.assertEqual(wire.value(), b"1\n")
        wire.end()
        self.network.advance()
        self.successResultOf(stopped)
        self.assertEqual((self.factory.delivered, self.ready()), (1, 2))

    def test_what_comes_before_it_is_cancelled_goes_back(self) -> None:
        client, wire = self.connect()
        back: list[tuple[object, int]] = []
        self.factory.stop()
        client._consumers.give_back = back.extend  # type: ignore[assignment,method-assign]
        client.deliver(Message(b"late"), (_CHANNEL, 1))
        self.network.advance()
        self.assertEqual((wire.value(), back), (b"", [(_CHANNEL, 1)]))

    def test_client_for_whom_there_is_nothing_is_closed_at_once(self) -> None:
        _, wire = self.connect()
        self.factory.stop()
        self.assertTrue(wire.disconnecting)

    def test_client_that_does_not_read_is_aborted_and_gives_all_back(self) -> None:
        _, wire = self.connect()
        self.publish(b"1", b"2")
        stopped = self.factory.stop()
        self.network.advance(LINGER)
        self.assertFalse(wire.connected)
        self.successResultOf(stopped)
        self.assertEqual(self.ready(), 2)

    def test_nobody_is_let_in_meanwhile_and_everybody_is_afterwards(self) -> None:
        self.connect()
        stopped = self.factory.stop()
        self.assertIsInstance(self.factory.buildProtocol(None), Refused)
        self.network.advance(LINGER)
        self.successResultOf(stopped)
        self.publish(b"1")
        self.assertEqual(self.connect()[1].take(), b"1\n")
