"""Tables that break decoders, in arguments and headers: the broker takes or refuses them."""

from __future__ import annotations

from typing import Any

from pika import spec

from netdemo.broker.encoding import write_value
from netdemo.broker.properties import HEADERS, split_header, split_table
from netdemo.broker.tables import MAX_DEPTH
from netdemo.broker.wire import write_method
from netdemo.frames import METHOD, frame
from tests.broker_peer import BrokerPeer, BrokerPeerTestCase, content_header, publication

LATE = b"T\xff\xff\xff\xff\xff\xff\xff\xff"
"""A timestamp far beyond the year 9999."""

DEEPEST = 18_000
"""Tables within each other that fit into a frame."""


def table(name: bytes, value: bytes) -> bytes:
    """Return a table with one value."""
    entries = bytes((len(name),)) + name + value
    return len(entries).to_bytes(4) + entries


def nested(depth: int) -> bytes:
    """Return a value of so many tables within each other."""
    value = b"V"
    for _ in range(depth):
        value = b"F" + table(b"a", value)
    return value


def array(*values: bytes) -> bytes:
    """Return the value of an array."""
    data = b"".join(values)
    return b"A" + len(data).to_bytes(4) + data


def declare(name: str, arguments: bytes) -> bytes:
    """Return the frame of a ``queue.declare`` with an encoded table."""
    whole = write_method(1, spec.Queue.Declare(queue=name, durable=True))
    return frame(METHOD, 1, whole[7:-5] + arguments)


def with_headers(routing_key: str, headers: bytes) -> bytes:
    """Return a publish with encoded headers."""
    return publication(1, "", routing_key, b"", content_header(0, HEADERS, headers))


class TablesTests(BrokerPeerTestCase):
    """A client with a channel."""

    def setUp(self) -> None:
        super().setUp()
        self.peer = self.connect()

    def headers_in(self, queue: str) -> dict[bytes, bytes]:
        """Return the headers of the first message in a queue, each value as it was sent."""
        entry: Any = self.vhost.queue(queue).ready.head()
        return split_table(split_header(entry.message.header)["headers"])

    def dies(self, header: bytes) -> dict[bytes, bytes]:
        """Publish a message with an ``x-death`` that dies at once; return its headers then."""
        to_dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        self.peer.call(
            spec.Queue.Declare(queue="dead"),
            spec.Queue.Declare(queue="q", arguments={**to_dead, "x-max-length": 0}),
        )
        self.peer.send(with_headers("q", table(b"x-death", header)))
        self.assertEqual([], self.peer.received())
        return self.headers_in("dead")

    def refused(self, peer: BrokerPeer, data: bytes) -> int:
        """Send what ends the connection; return the code."""
        peer.send(data)
        (close,) = peer.methods()
        self.assertIsInstance(close, spec.Connection.Close)
        return int(close.reply_code)

    def test_header_with_a_time_that_python_has_not_is_passed_on(self) -> None:
        self.peer.call(spec.Queue.Declare(queue="q"))
        self.peer.send(with_headers("q", table(b"late", LATE)))
        self.assertEqual({b"late": LATE}, self.headers_in("q"))

    def test_death_that_pikas_codec_can_not_write_is_kept(self) -> None:
        for value in (LATE, b"d\x3f\xf8\0\0\0\0\0\0", b"D\x01\xff\xff\xff\xff"):
            forged = array(b"F" + table(b"reason", value))
            headers = self.dies(forged)
            self.assertIn(value, headers[b"x-death"])
            self.peer.call(spec.Queue.Purge(queue="dead"))

    def test_death_that_was_counted_as_often_as_can_be_is_not_counted_again(self) -> None:
        most = b"l\x7f" + b"\xff" * 7
        forged = {"queue": "q", "reason": "maxlen"}
        entries = write_value(forged)[5:] + b"\x05count" + most
        headers = self.dies(array(b"F" + len(entries).to_bytes(4) + entries))
        self.assertIn(b"\x05count" + most, headers[b"x-death"])

    def test_headers_of_the_greatest_depth_die_and_are_routed(self) -> None:
        forged = array(nested(MAX_DEPTH - 1))
        self.assertIn(nested(MAX_DEPTH - 1), self.dies(forged)[b"x-death"])

    def test_headers_of_a_greater_depth_end_the_connection(self) -> None:
        for depth in (MAX_DEPTH + 1, DEEPEST):
            peer = self.connect()
            code = self.refused(peer, with_headers("q", table(b"a", nested(depth))))
            self.assertIn(code, (502, 541))

    def test_arguments_of_the_greatest_depth_are_taken_and_told_apart(self) -> None:
        deep = table(b"a", nested(MAX_DEPTH))
        for data in (declare("q", deep), declare("q", deep)):
            self.peer.send(data)
            self.assertIsInstance(self.peer.methods()[0], spec.Queue.DeclareOk)
        bind = write_method(1, spec.Queue.Bind(queue="q", exchange="amq.headers"))
        self.peer.send(frame(METHOD, 1, bind[7:-5] + deep) * 2)
        self.assertEqual(2, len(self.peer.methods()))
        self.assertEqual(1, len(self.vhost.exchange("amq.headers").bindings))
        self.peer.send(
            publication(1, "amq.headers", "", b"", content_header(0, HEADERS, deep)),
        )
        self.assertEqual(1, self.vhost.queue("q").count())

    def test_arguments_of_a_greater_depth_end_the_connection(self) -> None:
        for depth in (MAX_DEPTH + 1, DEEPEST):
            code = self.refused(self.connect(), declare("q", table(b"a", nested(depth))))
            self.assertIn(code, (501, 502))
        self.assertEqual({}, self.vhost.queues)

    def test_alternate_exchange_and_reply_of_any_depth_are_refused(self) -> None:
        for name in (b"x-dead-letter-exchange", b"x-message-ttl", b"x-queue-type"):
            peer = self.connect()
            peer.send(declare("q", table(name, nested(MAX_DEPTH))))
            (close,) = peer.methods()
            self.assertEqual(406, close.reply_code)

    def test_client_properties_of_any_depth_end_the_handshake_alone(self) -> None:
        start = spec.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")
        payload = write_method(0, start)[7:-1]
        for depth in (10, 300, 500):
            properties = table(b"capabilities", nested(depth))
            peer = self.dial()
            peer.send(
                b"AMQP\0\0\x09\x01" + frame(METHOD, 0, payload[:4] + properties + payload[8:])
            )
            peer.received()


class StoredTablesTests(TablesTests):
    """The same, with a store."""

    stored = True
