"""`netdemo.amqp.content` says on the wire what pika's codec says, and reads what that reads."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, spec
from pika.exceptions import InvalidFrameError, UnsupportedAMQPFieldException
from pika.frame import Body, Header, Method
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.content import (
    DeliveryReader,
    decode_header,
    encode_ack,
    encode_header,
    encode_nack,
    encode_publish,
)
from netdemo.amqp.message import Delivery, Message
from netdemo.frames import BODY, HEADER, METHOD, OVERHEAD, FrameReader

FRAME_MAX = 4096
MAX_BODY = 100_000
UNENCODABLE = (ValueError, struct.error, UnsupportedAMQPFieldException)

short = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
octets = st.integers(0, 255)
tables = st.dictionaries(
    st.text("abc-", max_size=9), st.none() | st.booleans() | st.integers(-(2**31), 2**31) | short
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": short,
        "content_encoding": short,
        "headers": tables,
        "delivery_mode": octets,
        "priority": octets,
        "correlation_id": short,
        "reply_to": short,
        "expiration": short,
        "message_id": short,
        "timestamp": st.integers(0, 2**64 - 1),
        "type": short,
        "user_id": short,
        "app_id": short,
    },
)


def message_of(body: bytes, values: dict[str, Any]) -> Message:
    """Return a message with no property beside `values`."""
    return Message(body, **{"delivery_mode": None, "message_id": None, **values})


def payload(frame: Any) -> bytes:
    """Return what is in a frame of pika's."""
    return bytes(frame.marshal()[7:-1])


class PublishTests(SynchronousTestCase):
    """What is sent."""

    @given(values=properties, size=st.integers(0, 3 * FRAME_MAX), names=st.tuples(short, short))
    def test_it_is_as_pikas(
        self, values: dict[str, Any], size: int, names: tuple[str, str]
    ) -> None:
        body = bytes(size)
        expected = Method(7, spec.Basic.Publish(0, *names, mandatory=True)).marshal()
        expected += Header(7, size, BasicProperties(**values)).marshal()
        room = FRAME_MAX - OVERHEAD
        for start in range(0, size, room):
            expected += Body(7, body[start : start + room]).marshal()
        sent = encode_publish(7, message_of(body, values), *names, True, FRAME_MAX)
        self.assertEqual(sent, expected)

    def test_acks_and_nacks_are_as_pikas(self) -> None:
        for flag in (True, False):
            ack = Method(7, spec.Basic.Ack(300, multiple=flag)).marshal()
            self.assertEqual(encode_ack(7, 300, flag), ack)
            nack = Method(7, spec.Basic.Nack(300, requeue=flag)).marshal()
            self.assertEqual(encode_nack(7, 300, flag), nack)

    def test_what_cannot_be_encoded_raises(self) -> None:
        for values in (
            {"message_id": "x" * 256},
            {"message_id": "\ud800"},
            {"priority": 256},
            {"timestamp": -1},
            {"headers": {"h": object()}},
            {"headers": {"h": "x" * FRAME_MAX}},
        ):
            message = message_of(b"", values)
            self.assertRaises(UNENCODABLE, encode_publish, 1, message, "", "", True, FRAME_MAX)
        for names in (("x" * 256, ""), ("", "x" * 256)):
            self.assertRaises(ValueError, encode_publish, 1, Message(b""), *names, True, FRAME_MAX)


class DeliveryTests(SynchronousTestCase):
    """What is received."""

    def setUp(self) -> None:
        self.read: list[tuple[str, Delivery]] = []
        self.reader = DeliveryReader(lambda *delivery: self.read.append(delivery), MAX_BODY)

    def take(self, *frames: Any) -> list[bool]:
        """Have pika's `frames` read."""
        data = b"".join(each.marshal() for each in frames)
        cut = FrameReader().frames(data, 131072)
        return [self.reader.take(kind, payload) for kind, _, payload in cut]

    def method(self) -> Any:
        """Return a ``basic.deliver``."""
        return Method(1, spec.Basic.Deliver("tag", 2**63, False, "exchange", "key"))

    @given(
        values=properties,
        pieces=st.lists(st.binary(min_size=1), max_size=3),
        redelivered=st.booleans(),
        names=st.tuples(short, short, short),
        tag=st.integers(0, 2**64 - 1),
    )
    def test_it_is_what_pika_would_send(
        self,
        values: dict[str, Any],
        pieces: list[bytes],
        redelivered: bool,
        names: tuple[str, str, str],
        tag: int,
    ) -> None:
        consumer_tag, exchange, routing_key = names
        body = b"".join(pieces)
        deliver = spec.Basic.Deliver(consumer_tag, tag, redelivered, exchange, routing_key)
        header = Header(1, len(body), BasicProperties(**values))
        taken = self.take(Method(1, deliver), header, *(Body(1, each) for each in pieces))
        self.assertTrue(all(taken))
        delivery = Delivery(message_of(body, values), exchange, routing_key, redelivered, tag)
        self.assertEqual(self.read.pop(), (consumer_tag, delivery))

    @given(values=properties)
    def test_properties_come_back_as_they_were_sent(self, values: dict[str, Any]) -> None:
        size, found = decode_header(encode_header(message_of(b"body", values)))
        self.assertEqual(size, 4)
        self.assertEqual(message_of(b"", found), message_of(b"", values))

    def test_bytes_that_are_no_text_come_back_as_they_were(self) -> None:
        header = payload(Header(1, 0, BasicProperties(message_id=b"\xff\x00\xe9")))
        _, found = decode_header(header)
        self.assertEqual(encode_header(message_of(b"", found)), header)

    def test_the_property_that_is_not_used_is_passed_over(self) -> None:
        header = Header(1, 0, BasicProperties(app_id="app", cluster_id="cluster"))
        self.assertEqual(decode_header(payload(header))[1]["app_id"], "app")

    def test_frames_of_others_are_not_taken(self) -> None:
        returned = Method(1, spec.Basic.Return(312, "NO_ROUTE", "", ""))
        header = Header(1, 1, BasicProperties())
        self.assertEqual(self.take(returned, header, Body(1, b"x")), [False] * 3)

    def test_one_after_another(self) -> None:
        for _ in range(2):
            self.take(self.method(), Header(1, 0, BasicProperties()))
        self.assertEqual(len(self.read), 2)

    def test_what_can_not_follow_is_refused(self) -> None:
        method, header = payload(self.method()), payload(Header(1, 3, BasicProperties()))
        for frames in (
            [(METHOD, method), (METHOD, method)],
            [(METHOD, method), (BODY, b"abc")],
            [(METHOD, method), (HEADER, header), (HEADER, header)],
            [(METHOD, method), (HEADER, header), (BODY, b"abcd")],
            [(METHOD, method), (HEADER, header), (BODY, b"")],
        ):
            self.setUp()
            *before, last = frames
            for frame in before:
                self.assertTrue(self.reader.take(*frame))
            self.assertRaises(InvalidFrameError, self.reader.take, *last)
            self.assertEqual(self.read, [])

    def test_message_that_is_too_long_is_refused_by_its_header(self) -> None:
        self.reader.take(METHOD, payload(self.method()))
        header = payload(Header(1, MAX_BODY + 1, BasicProperties()))
        self.assertRaises(InvalidFrameError, self.reader.take, HEADER, header)

    @given(cut=st.integers(0, 40), values=properties)
    def test_header_that_ends_too_early_raises(self, cut: int, values: dict[str, Any]) -> None:
        header = payload(Header(1, 0, BasicProperties(**values)))
        if cut < len(header):
            self.assertRaises(InvalidFrameError, decode_header, header[:cut])

    def test_method_that_ends_too_early_raises(self) -> None:
        method, header = payload(self.method()), payload(Header(1, 0, BasicProperties()))
        for end in range(4, len(method)):
            self.setUp()
            self.reader.take(METHOD, method[:end])
            self.assertRaises(InvalidFrameError, self.reader.take, HEADER, header)
