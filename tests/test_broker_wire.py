"""`netdemo.broker.wire`: what is read and written by hand is what pika's codec reads and writes."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import spec
from pika.frame import Body, Header, Method
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.message import Message
from netdemo.broker.wire import (
    ACK,
    PUBLISH,
    method_of,
    raw,
    read_ack,
    read_method,
    read_publish,
    shortened,
    text,
    write_ack,
    write_content,
    write_delivery,
    write_method,
)
from netdemo.errors import CommandInvalid, FrameRefused, SyntaxRefused, TextRefused
from netdemo.frames import OVERHEAD
from tests.test_properties import PROPERTIES, STRANGE, TABLES, header
from tests.test_tables import table_of

FRAME_MIN = 4096
CHANNELS = st.integers(0, 0xFFFF)
TAGS = st.integers(0, (1 << 64) - 1) | st.sampled_from((1 << 63, (1 << 64) - 1))
LONGEST = st.sampled_from((b"n" * 255, b"\xff" * 255, "é".encode() * 127))
NAMES = (st.text(max_size=60).map(str.encode) | st.binary(max_size=255) | LONGEST).map(text)
ROOM = FRAME_MIN - OVERHEAD
SIZES = st.sampled_from(
    (0, 1, ROOM - 1, ROOM, ROOM + 1, FRAME_MIN, 2 * ROOM - 1, 2 * ROOM, 2 * ROOM + 1, 5 * ROOM)
)
KINDS: list[Any] = sorted(spec.methods.values(), key=lambda kind: kind.INDEX)
INTEGERS = {
    "version_major": 8,
    "version_minor": 8,
    "frame_max": 32,
    "prefetch_size": 32,
    "message_count": 32,
    "consumer_count": 32,
    "delivery_tag": 64,
}
"""Bits of the integers that are not of 16."""

TEXTS = frozenset(
    [
        "mechanism",
        "mechanisms",
        "locale",
        "locales",
        "response",
        "challenge",
        "virtual_host",
        "capabilities",
        "known_hosts",
        "reply_text",
        "reason",
        "out_of_band",
        "channel_id",
        "realm",
        "exchange",
        "type",
        "destination",
        "source",
        "routing_key",
        "queue",
        "consumer_tag",
        "cluster_id",
        "new_secret",
    ]
)
LONG_STRINGS = frozenset(
    ["mechanisms", "locales", "response", "challenge", "new_secret", "channel_id"]
)
WHOLE_NUMBERS = frozenset(
    ["channel_max", "heartbeat", "reply_code", "class_id", "method_id", "ticket", "prefetch_count"]
) | frozenset(INTEGERS)
TABLE_NAMES = frozenset(("arguments", "server_properties", "client_properties"))


def arguments_of(kind: type) -> list[str]:
    """Return the names of the arguments of a method."""
    code = kind.__init__.__code__  # type: ignore[misc]
    return list(code.co_varnames[1 : code.co_argcount])


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Return what an argument may be."""
    if name in TABLE_NAMES:
        return TABLES
    if name in WHOLE_NUMBERS:
        return st.integers(0, (1 << INTEGERS.get(name, 16)) - 1)
    if name in TEXTS:
        return st.text(max_size=2000 if name in LONG_STRINGS else 60)
    return st.booleans()


METHODS = st.sampled_from(KINDS).flatmap(
    lambda kind: st.builds(kind, **{name: values_of(name) for name in arguments_of(kind)})
)
STRICT = METHODS.filter(
    lambda method: not isinstance(method, spec.Connection.StartOk | spec.Connection.UpdateSecret)
)


def payload_of(method: Any) -> bytes:
    """Return the payload of the frame that pika writes."""
    payload: bytes = Method(1, method).marshal()[OVERHEAD - 1 : -1]
    return payload


def bytes_named(method: Any) -> Any:
    """Give pika the names of a method in bytes: it knows no others but UTF-8."""
    for name, value in vars(method).items():
        if isinstance(value, str):
            setattr(method, name, raw(value))
    return method


def frames(channel: int, method: Any, properties: dict[str, Any], body: bytes) -> bytes:
    """Return a method with its content, as pika writes it."""
    room = FRAME_MIN - OVERHEAD
    pieces = [Method(channel, bytes_named(method)).marshal()] if method else []
    pieces.append(Header(channel, len(body), spec.BasicProperties(**properties)).marshal())
    pieces += [
        Body(channel, body[start : start + room]).marshal() for start in range(0, len(body), room)
    ]
    return b"".join(pieces)


class WritingTests(SynchronousTestCase):
    """What goes with every message."""

    @given(CHANNELS, NAMES, TAGS, st.booleans(), NAMES, NAMES, PROPERTIES, SIZES)
    def test_delivery_is_what_pika_writes(
        self,
        channel: int,
        tag: str,
        delivery_tag: int,
        redelivered: bool,
        exchange: str,
        routing_key: str,
        properties: dict[str, Any],
        size: int,
    ) -> None:
        body = b"b" * size
        message = Message(exchange, routing_key, header(properties, size), body)
        method = spec.Basic.Deliver(tag, delivery_tag, redelivered, exchange, routing_key)
        self.assertEqual(
            frames(channel, method, properties, body),
            write_delivery(channel, tag, delivery_tag, redelivered, message, FRAME_MIN),
        )

    @given(CHANNELS, PROPERTIES, SIZES)
    def test_content_is_what_pika_writes(
        self, channel: int, properties: dict[str, Any], size: int
    ) -> None:
        body = b"b" * size
        message = Message("", "", header(properties, size), body)
        written = write_content(channel, message, FRAME_MIN)
        self.assertEqual(frames(channel, None, properties, body), written)

    @given(CHANNELS, TAGS, st.booleans())
    def test_ack_is_what_pika_writes(self, channel: int, tag: int, multiple: bool) -> None:
        written = Method(channel, spec.Basic.Ack(tag, multiple)).marshal()
        self.assertEqual(written, write_ack(channel, tag, multiple))

    @given(CHANNELS, METHODS)
    def test_method_is_what_pika_writes(self, channel: int, method: Any) -> None:
        self.assertEqual(Method(channel, method).marshal(), write_method(channel, method))

    @given(NAMES, NAMES)
    def test_names_of_any_bytes_are_written(self, exchange: str, routing_key: str) -> None:
        method = spec.Basic.Return(312, "NO_ROUTE", exchange, routing_key)
        written = write_method(1, spec.Basic.Return(312, "NO_ROUTE", exchange, routing_key))
        self.assertEqual(Method(1, bytes_named(method)).marshal(), written)


class ReadingTests(SynchronousTestCase):
    """What comes with every message."""

    @given(NAMES, NAMES, st.booleans(), st.booleans())
    def test_publish_is_what_pika_has_written(
        self, exchange: str, routing_key: str, mandatory: bool, immediate: bool
    ) -> None:
        method = spec.Basic.Publish(0, exchange, routing_key, mandatory, immediate)
        publish = read_publish(payload_of(bytes_named(method)))
        self.assertEqual((exchange, routing_key, mandatory, immediate), publish)

    @given(TAGS, st.booleans())
    def test_ack_is_what_pika_has_written(self, tag: int, multiple: bool) -> None:
        self.assertEqual((tag, multiple), read_ack(payload_of(spec.Basic.Ack(tag, multiple))))

    def test_publish_and_ack_are_known_by_how_they_begin(self) -> None:
        self.assertTrue(payload_of(spec.Basic.Publish()).startswith(PUBLISH))
        self.assertTrue(payload_of(spec.Basic.Ack()).startswith(ACK))

    def test_ack_of_another_size_is_refused(self) -> None:
        whole = payload_of(spec.Basic.Ack(1, True))
        for payload in (*(whole[:end] for end in range(4, len(whole))), whole + b"\0"):
            self.assertRaises(FrameRefused, read_ack, payload)

    def test_publish_of_another_size_is_refused(self) -> None:
        whole = payload_of(spec.Basic.Publish(0, "exchange", "key"))
        for payload in (*(whole[:end] for end in range(4, len(whole))), whole + b"\0"):
            self.assertRaises(FrameRefused, read_publish, payload)


class MethodTests(SynchronousTestCase):
    """`read_method`."""

    @given(METHODS)
    def test_method_that_pika_has_written_is_read(self, method: Any) -> None:
        read = read_method(payload_of(method))
        self.assertIs(type(method), type(read))
        if not isinstance(method, spec.Connection.UpdateSecret):  # of which pika does not keep all
            self.assertEqual(vars(method), vars(read))

    @given(STRICT)
    def test_method_that_is_read_and_written_is_the_same(self, method: Any) -> None:
        frame = write_method(1, method)
        self.assertEqual(frame, write_method(1, read_method(frame[OVERHEAD - 1 : -1])))

    @given(st.binary(max_size=255))
    def test_key_of_any_bytes_is_read_and_written_as_it_came(self, name: bytes) -> None:
        payload = payload_of(spec.Basic.Publish(0, "", name))
        method = read_method(payload)
        self.assertEqual(text(name), method.routing_key)
        self.assertEqual(payload, write_method(1, method)[OVERHEAD - 1 : -1])

    def test_other_name_that_is_not_utf_8_is_refused(self) -> None:
        payload = payload_of(spec.Queue.Delete(0, b"odd\xff"))
        self.assertRaises(TextRefused, read_method, payload)

    @given(METHODS, st.data())
    def test_method_that_is_cut_off_is_refused(self, method: Any, data: st.DataObject) -> None:
        payload = payload_of(method)
        if isinstance(method, spec.Connection.UpdateSecret):
            payload = payload[: -1 - len(raw(method.reason))]
        end = data.draw(st.integers(0, len(payload) - 1))
        self.assertRaises(FrameRefused, read_method, payload[:end])

    @given(STRICT, st.binary(min_size=1, max_size=9))
    def test_method_with_bytes_too_many_is_refused(self, method: Any, more: bytes) -> None:
        self.assertRaises(FrameRefused, read_method, payload_of(method) + more)

    def test_arguments_of_types_that_pika_does_not_know_are_read(self) -> None:
        no_arguments = payload_of(spec.Queue.Declare(queue="q"))[: -len(b"\0\0\0\0")]
        for value in STRANGE:
            method = read_method(no_arguments + table_of(value))
            self.assertEqual(("q", ["a"]), (method.queue, list(method.arguments)))

    def test_table_that_is_malformed_is_a_syntax_error(self) -> None:
        payload = payload_of(spec.Queue.Declare(queue="q"))[: -len(b"\0\0\0\0")]
        for table in (table_of(b"?"), table_of(b"S\0\0\0\x09"), b"\0\0\0\x01\x05"):
            self.assertRaises(SyntaxRefused, read_method, payload + table)

    @given(st.integers(0, (1 << 32) - 1).filter(lambda index: index not in spec.methods))
    def test_method_that_amqp_does_not_have_is_refused(self, index: int) -> None:
        self.assertRaises(CommandInvalid, read_method, struct.pack(">I", index))

    @given(st.sampled_from(KINDS), st.binary(max_size=40))
    def test_any_bytes_are_read_or_refused(self, kind: Any, data: bytes) -> None:
        try:
            method = read_method(struct.pack(">I", kind.INDEX) + data)
        except (FrameRefused, SyntaxRefused):
            return
        self.assertIsInstance(method, kind)

    def test_numbers_of_a_method_are_those_it_begins_with(self) -> None:
        self.assertEqual((60, 40), method_of(payload_of(spec.Basic.Publish())))
        self.assertEqual((0, 0), method_of(b"\0\x3c\0"))


class TextTests(SynchronousTestCase):
    """Names and reply texts."""

    @given(st.binary())
    def test_name_of_any_bytes_stays(self, name: bytes) -> None:
        self.assertEqual(name, raw(text(name)))

    def test_reply_text_that_fits_stays(self) -> None:
        self.assertEqual("a" * 255, shortened("a" * 255))

    def test_reply_text_that_does_not_fit_is_cut(self) -> None:
        self.assertEqual("a" * 252 + "...", shortened("a" * 256))

    @given(st.text(min_size=100))
    def test_reply_text_fits_a_short_string(self, reply_text: str) -> None:
        self.assertLessEqual(len(raw(shortened(reply_text * 3))), 255)
