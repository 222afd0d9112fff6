"""`netdemo.bridge.call`: records are requests, and are answered with their replies, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from netdemo.address import parse_destination
from netdemo.amqp import Binding, Exchange, Queue, RPCServer, Topology
from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.amqp.window import Window
from netdemo.bridge.call import CALL_BYTES, CALLS, CallFactory
from netdemo.bridge.intake import MAX_UNREAD, IntakeProtocol
from netdemo.bridge.routes import CallRoute
from netdemo.errors import NotFound, RemoteError
from tests.memory_clients import QUEUE, MemoryClientTestCase
from tests.wire import TCPWire, Wire

if TYPE_CHECKING:
    from netdemo.amqp import Delivery

DESTINATION = f"/queue/{QUEUE}"


class CallTestCase(MemoryClientTestCase):
    """A call route with one TCP client, and a server that replies when a test says so."""

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[bytes] = []
        self.replies: dict[bytes, Deferred[bytes]] = {}
        self.server = self.add_client()
        self.factory = self.route(DESTINATION, max_record=10)
        self.client_end, self.wire = self.connect()

    def route(self, destination: str, window: Window | None = None, **options: Any) -> CallFactory:
        """Return the factory of a call route."""
        route = CallRoute(parse_destination(destination), "tcp:7005", **options)
        return CallFactory(route, self.client, window=window)

    def connect(self, factory: CallFactory | None = None) -> tuple[IntakeProtocol, Wire]:
        """Connect a client."""
        protocol = (factory or self.factory).buildProtocol(None)
        assert isinstance(protocol, IntakeProtocol)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        self.addCleanup(wire.end)
        return protocol, wire

    def serve(self, queue: str = QUEUE) -> RPCServer:
        """Serve a queue."""
        server = RPCServer(self.server, queue, self._requested, prefetch=100)
        self.network.advance()
        return server

    def _requested(self, delivery: Delivery) -> Deferred[bytes]:
        body = delivery.message.body
        self.requests.append(body)
        reply = self.replies[body] = Deferred()
        return reply

    def send(self, data: bytes) -> None:
        """Send something from the client."""
        self.client_end.dataReceived(data)
        self.network.advance()

    def reply(self, request: bytes, reply: bytes | Exception) -> None:
        """Answer a request."""
        waiting = self.replies.pop(request)
        if isinstance(reply, bytes):
            waiting.callback(reply)
        else:
            waiting.errback(reply)
        self.network.advance()


class ReplyTests(CallTestCase):
    """What the client is answered."""

    def test_reply_comes_back(self) -> None:
        self.serve()
        self.send(b"a\n")
        self.reply(b"a", b"A")
        self.assertEqual(self.wire.value(), b"A\n")
        self.assertEqual((self.factory.replied, self.factory.failed), (1, 0))

    def test_no_reply_waits_for_the_ack_of_another(self) -> None:
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, IntakeProtocol)
        wire = TCPWire(protocol)
        protocol.makeConnection(wire)
        self.assertTrue(wire.no_delay)
        wire.end()

    def test_replies_come_in_the_order_of_their_requests(self) -> None:
        self.serve()
        self.send(b"a\nb\nc\n")
        self.assertEqual(self.requests, [b"a", b"b", b"c"])
        self.reply(b"c", b"C")
        self.reply(b"b", b"B")
        self.assertEqual(self.wire.value(), b"")
        self.reply(b"a", b"A")
        self.assertEqual(self.wire.value(), b"A\nB\nC\n")

    def test_remote_error_is_told_in_the_servers_words(self) -> None:
        self.serve()
        self.send(b"a\n")
        self.reply(b"a", RemoteError("no such poem"))
        self.assertEqual(self.wire.value(), b"ERR remote no such poem\n")
        self.assertEqual((self.factory.replied, self.factory.failed), (0, 1))

    def test_timeout_is_told_and_the_late_reply_dropped(self) -> None:
        self.factory = self.route(DESTINATION, timeout=2)
        self.client_end, self.wire = self.connect()
        self.serve()
        self.send(b"a\nb\n")
        self.network.advance(2)
        error = b"ERR timeout no reply from 'work' within 2 s\n"
        self.assertEqual(self.wire.value(), 2 * error)
        self.reply(b"a", b"A")
        self.send(b"c\n")
        self.reply(b"c", b"C")
        self.assertEqual(self.wire.value(), 2 * error + b"C\n")
        self.assertEqual(self.factory.rpc.late, 1)

    def test_request_that_no_queue_takes_is_an_error_at_once(self) -> None:
        self.client_end, self.wire = self.connect(self.route("/amq/queue/nowhere"))
        self.send(b"a\n")
        self.assertEqual(self.wire.value(), b"ERR unroutable NO_ROUTE\n")

    def test_connection_lost_after_the_request_was_sent_is_told(self) -> None:
        self.serve()
        self.send(b"a\n")
        self.broker.drop()
        self.network.advance()
        self.assertTrue(self.wire.value().startswith(b"ERR outcome-unknown "))

    def test_reply_that_the_framing_cant_carry_is_an_error(self) -> None:
        self.serve()
        self.send(b"a\n")
        self.reply(b"a", b"two\nlines")
        self.assertTrue(self.wire.value().startswith(b"ERR unfit "), self.wire.value())

    def test_other_framings_carry_it(self) -> None:
        self.client_end, self.wire = self.connect(self.route(DESTINATION, framing="netstring"))
        self.serve()
        self.send(b"1:a,")
        self.reply(b"a", b"two\nlines")
        self.assertEqual(self.wire.value(), b"9:two\nlines,")

    def test_record_too_long_is_answered_in_its_turn_and_the_last(self) -> None:
        self.serve()
        self.send(b"a\n12345678901\n")
        self.assertEqual(self.wire.value(), b"")
        self.reply(b"a", b"A")
        self.assertEqual(self.wire.value(), b"A\nERR too-long a record has at most 10 bytes here\n")
        self.client_end.readConnectionLost()

    def test_client_that_half_closes_gets_its_replies_and_is_closed(self) -> None:
        self.serve()
        self.send(b"a\nb\n")
        self.client_end.readConnectionLost()
        self.reply(b"a", b"A")
        self.assertFalse(self.wire.disconnecting)
        self.reply(b"b", b"B")
        self.assertEqual(self.wire.value(), b"A\nB\n")
        self.assertTrue(self.wire.disconnecting)

    def test_results_of_a_client_that_leaves_are_dropped(self) -> None:
        self.serve()
        self.send(b"a\nb\n")
        self.reply(b"b", b"B")
        self.wire.end()
        self.reply(b"a", b"A")
        self.assertEqual(self.wire.value(), b"")
        self.assertEqual((self.factory.window.messages, self.factory.window.size), (0, 0))


class DestinationTests(CallTestCase):
    """Where requests go."""

    def exists(self, queue: str) -> bool:
        """Tell whether there is a queue."""
        self.network.advance()
        try:
            self.broker.broker.vhost("/").queue(queue)
        except NotFound:
            return False
        return True

    def delete(self, queue: str) -> None:
        """Delete a queue, and lose the connections."""
        vhost = self.broker.broker.vhost("/")
        vhost.delete_queue(vhost.queue(queue))
        self.assertFalse(self.exists(queue))
        self.broker.drop()
        self.network.advance(5)

    def channels(self) -> int:
        """Return how many channels are open."""
        self.network.advance()
        return sum(len(each._channels) for each in self.broker.broker.connections)

    def test_queue_is_declared(self) -> None:
        self.route("/queue/ours")
        self.assertTrue(self.exists("ours"))

    def test_existing_queue_is_not(self) -> None:
        self.route("/amq/queue/theirs")
        self.assertFalse(self.exists("theirs"))

    def test_queue_is_declared_again_on_the_next_connection(self) -> None:
        self.route("/queue/ours")
        self.network.advance()
        self.delete("ours")
        self.assertTrue(self.exists("ours"))

    def test_exchange_routes_by_the_key(self) -> None:
        bound = Topology(queues=(Queue("bound"),), bindings=(Binding("amq.topic", "bound", "k"),))
        self.result(self.server.declare(bound))
        self.serve("bound")
        for destination in ("/topic/k", "/exchange/amq.topic/k"):
            self.client_end, self.wire = self.connect(self.route(destination))
            self.send(b"a\n")
            self.reply(b"a", b"A")
            self.assertEqual(self.wire.value(), b"A\n")

    def test_nobody_bound_to_an_exchange_is_an_error_at_once(self) -> None:
        self.client_end, self.wire = self.connect(self.route("/topic/k"))
        self.send(b"a\n")
        self.assertEqual(self.wire.value(), b"ERR unroutable NO_ROUTE\n")

    def test_missing_exchange_is_told_and_costs_other_routes_nothing(self) -> None:
        self.serve()
        self.send(b"a\n")
        bad_end, bad_wire = self.connect(self.route("/exchange/nowhere/k"))
        bad_end.dataReceived(b"x\n")
        self.network.advance(2)
        self.assertTrue(bad_wire.value().startswith(b"ERR not-sent NOT_FOUND - "))
        self.reply(b"a", b"A")
        self.assertEqual(self.wire.value(), b"A\n")

    def test_missing_exchange_that_is_there_later_works(self) -> None:
        bad_end, bad_wire = self.connect(self.route("/exchange/later/work"))
        bad_end.dataReceived(b"x\n")
        self.network.advance(2)
        bad_wire.clear()
        binding = Binding("later", QUEUE, "work")
        there = Topology((Exchange("later"),), bindings=(binding,))
        self.result(self.server.declare(there))
        self.serve()
        bad_end.dataReceived(b"y\n")
        self.network.advance()
        self.reply(b"y", b"Y")
        self.assertEqual(bad_wire.value(), b"Y\n")

    def test_withdrawn_route_has_no_channel_and_declares_nothing(self) -> None:
        before = self.channels()
        factory = self.route("/queue/ours")
        self.network.advance()
        self.assertEqual(self.channels(), before + 1)
        factory.withdraw()
        self.network.advance()
        self.assertEqual(self.channels(), before)
        self.delete("ours")
        self.assertFalse(self.exists("ours"))


class UnreadTests(CallTestCase):
    """A client that does not read its answers."""

    def test_it_is_dropped_when_more_than_so_many_bytes_wait(self) -> None:
        self.serve()
        self.send(b"a\nb\n")
        self.client_end.pauseProducing()
        self.reply(b"a", bytes(MAX_UNREAD - len(b"\n")))
        self.assertTrue(self.wire.connected)
        self.reply(b"b", b"")
        self.assertFalse(self.wire.connected)

    def test_it_is_not_when_it_has_read_meanwhile(self) -> None:
        self.serve()
        self.send(b"a\nb\n")
        self.client_end.pauseProducing()
        self.reply(b"a", bytes(MAX_UNREAD - len(b"\n")))
        self.client_end.resumeProducing()
        self.client_end.pauseProducing()
        self.reply(b"b", b"")
        self.assertTrue(self.wire.connected)


class WindowTests(CallTestCase):
    """No more is under way than the window has room for."""

    def small(self, messages: int, size: int = 1000) -> Window:
        """Connect a client to a route with a small window; return that."""
        window = Window(messages, size)
        self.client_end, self.wire = self.connect(self.route(DESTINATION, window))
        self.serve()
        return window

    def test_default_is_bounded_in_calls_and_bytes(self) -> None:
        window = self.factory.window
        self.assertEqual((window.message_limit, window.size_limit), (CALLS, CALL_BYTES))

    def test_reading_stops_while_it_is_full_of_calls(self) -> None:
        self.small(2)
        self.send(b"a\nb\nc\nd\n")
        self.assertEqual(self.requests, [b"a", b"b"])
        self.assertEqual(self.wire.producerState, "paused")
        self.reply(b"a", b"A")
        self.assertEqual(self.requests, [b"a", b"b", b"c"])
        self.reply(b"b", b"B")
        self.reply(b"c", b"C")
        self.assertEqual(self.wire.producerState, "producing")
        self.reply(b"d", b"D")
        self.assertEqual(self.wire.value(), b"A\nB\nC\nD\n")

    def test_reading_stops_while_it_is_full_of_bytes(self) -> None:
        self.small(100, 10)
        self.send(b"12345\n67890\nx\n")
        self.assertEqual(self.requests, [b"12345", b"67890"])
        self.reply(b"12345", b"ok")
        self.assertEqual(self.requests, [b"12345", b"67890", b"x"])

    def test_reply_that_waits_for_an_earlier_one_takes_up_room(self) -> None:
        window = self.small(2)
        self.send(b"a\nb\nc\nd\ne\n")
        for request in (b"b", b"c"):
            self.reply(request, b"a long reply")
        self.assertEqual(self.requests, [b"a", b"b", b"c"])
        self.assertEqual((window.messages, window.size), (3, 1 + 2 * len(b"a long reply")))
        self.reply(b"a", b"A")
        self.assertEqual(self.wire.value(), b"A\na long reply\na long reply\n")
        self.assertEqual(self.requests, [b"a", b"b", b"c", b"d", b"e"])

    def test_clients_share_it_and_each_is_read_again(self) -> None:
        self.small(1)
        other, other_wire = self.connect(self.client_end.factory)  # type: ignore[arg-type]
        self.send(b"a\nb\n")
        other.dataReceived(b"c\n")
        self.reply(b"a", b"A")
        self.reply(b"c", b"C")
        self.reply(b"b", b"B")
        self.assertEqual((self.wire.value(), other_wire.value()), (b"A\nB\n", b"C\n"))


class StoppingTests(CallTestCase):
    """`CallFactory.stop`."""

    def test_every_request_that_was_read_is_answered_then_the_connection_closed(self) -> None:
        self.serve()
        self.send(b"a\nb\n")
        stopped = self.factory.stop()
        self.client_end.dataReceived(b"c\n")
        self.network.advance()
        self.assertEqual(self.requests, [b"a", b"b"])
        self.reply(b"a", b"A")
        self.assertNoResult(stopped)
        self.reply(b"b", b"B")
        self.assertEqual(self.wire.value(), b"A\nB\n")
        self.assertTrue(self.wire.write_ended)
        self.client_end.readConnectionLost()
        self.wire.end()
        self.successResultOf(stopped)

    def test_calls_without_a_reply_within_the_grace_time_are_answered_too(self) -> None:
        self.serve()
        self.send(b"a\nb\n")
        stopped = self.factory.stop()
        self.reply(b"b", b"B")
        self.network.advance(STOP_TIMEOUT)
        self.assertEqual(
            self.wire.value(), b"ERR timeout no reply before the bridge was stopped\nB\n"
        )
        self.wire.end()
        self.successResultOf(stopped)
        self.assertEqual(self.factory.window.messages, 0)

    def test_stopped_before_it_works_as_before(self) -> None:
        self.serve()
        self.wire.end()
        self.successResultOf(self.factory.stop())
        self.client_end, self.wire = self.connect()
        self.send(b"a\n")
        self.reply(b"a", b"A")
        self.assertEqual(self.wire.value(), b"A\n")
