"""`netdemo.broker.properties`: what is taken apart and put together is what came."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import spec
from pika.frame import Header, decode_frame
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.properties import (
    START,
    encode_short_string,
    join_header,
    join_table,
    short_string,
    split_header,
    split_table,
)
from netdemo.broker.tables import read_table
from netdemo.errors import SyntaxRefused
from netdemo.frames import OVERHEAD
from tests.test_tables import VALUES, encoded, table_of

TEXTS = st.text(max_size=60)
TABLES = st.dictionaries(st.text(max_size=20), VALUES, max_size=5)
SHORT_STRINGS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "headers": TABLES,
        "delivery_mode": st.integers(0, 255),
        "priority": st.integers(0, 255),
        "timestamp": st.integers(0, (1 << 64) - 1),
        **dict.fromkeys(SHORT_STRINGS, TEXTS),
    },
)
SIZES = st.integers(0, (1 << 64) - 1)
STRANGE = (
    b"s\xff\xfe",
    b"u\xff\xfe",
    b"T" + b"\xff" * 8,
    b"D\xff\xff\xff\xff\xff",
    b"S\0\0\0\x01\xff",
    b"L" + b"\x80" + b"\0" * 7,
    b"d\x7f\xf8\0\0\0\0\0\0",
    b"F\0\0\0\x03\x01\xffV",
)
"""Values that RabbitMQ takes, and that pika's codec refuses, changes or takes for others."""


def header(properties: dict[str, Any], size: int = 0) -> bytes:
    """Return the payload of the content header that pika writes."""
    frame = Header(1, size, spec.BasicProperties(**properties)).marshal()
    return frame[OVERHEAD - 1 : -1]


def flagged(flags: int, values: bytes, class_id: int = 60) -> bytes:
    """Return the payload of a content header with these flags."""
    return START.pack(class_id, 0, 0, flags) + values


class HeaderTests(SynchronousTestCase):
    """`split_header` and `join_header`."""

    @given(PROPERTIES, SIZES)
    def test_header_that_is_split_and_joined_is_the_same(
        self, properties: dict[str, Any], size: int
    ) -> None:
        payload = header(properties, size)
        values = split_header(payload)
        self.assertEqual(properties.keys(), values.keys())
        self.assertEqual(payload, join_header(values, size))

    @given(PROPERTIES, st.data())
    def test_property_that_is_taken_out_leaves_the_others(
        self, properties: dict[str, Any], data: st.DataObject
    ) -> None:
        values = split_header(header(properties))
        kept = data.draw(st.sets(st.sampled_from(sorted(values)))) if values else set()
        rest = join_header({name: values[name] for name in kept}, 0)
        self.assertEqual(header({name: properties[name] for name in kept}), rest)

    @given(TEXTS, TEXTS)
    def test_short_strings_are_what_pika_reads(self, one: str, other: str) -> None:
        values = split_header(header({"reply_to": one, "user_id": other}))
        self.assertEqual(one.encode(), short_string(values["reply_to"]))
        self.assertEqual(encode_short_string(other.encode()), values["user_id"])

    def test_property_that_is_changed_is_what_pika_reads(self) -> None:
        values = split_header(header({"reply_to": "here", "priority": 3}))
        values["reply_to"] = encode_short_string(b"there")
        payload = join_header(values, 5)
        frame = b"\x02\0\x01" + struct.pack(">I", len(payload)) + payload + b"\xce"
        _, read = decode_frame(frame)
        assert isinstance(read, Header)
        self.assertEqual(5, read.body_size)
        self.assertEqual(("there", 3), (read.properties.reply_to, read.properties.priority))

    @given(PROPERTIES, st.data())
    def test_header_that_is_cut_off_is_refused(
        self, properties: dict[str, Any], data: st.DataObject
    ) -> None:
        payload = header(properties)
        end = data.draw(st.integers(0, len(payload) - 1))
        self.assertRaises(SyntaxRefused, split_header, payload[:end])

    @given(PROPERTIES, st.binary(min_size=1, max_size=5))
    def test_header_with_bytes_too_many_is_refused(
        self, properties: dict[str, Any], more: bytes
    ) -> None:
        self.assertRaises(SyntaxRefused, split_header, header(properties) + more)

    def test_header_of_another_class_is_refused(self) -> None:
        self.assertRaises(SyntaxRefused, split_header, flagged(0, b"", class_id=50))

    def test_flags_that_stand_for_nothing_are_refused(self) -> None:
        for flags in (1, 2):
            self.assertRaises(SyntaxRefused, split_header, flagged(flags, b"\0" * 20))

    @given(st.integers(0, 0xFFFF), st.binary(max_size=60))
    def test_any_bytes_are_taken_apart_or_refused(self, flags: int, values: bytes) -> None:
        payload = flagged(flags, values)
        with contextlib.suppress(SyntaxRefused):
            self.assertEqual(payload, join_header(split_header(payload), 0))

    @given(st.binary(max_size=20))
    def test_anything_short_is_taken_apart_or_refused(self, payload: bytes) -> None:
        with contextlib.suppress(SyntaxRefused):
            split_header(payload)


class TableTests(SynchronousTestCase):
    """`split_table` and `join_table`."""

    @given(TABLES)
    def test_table_that_is_split_and_joined_is_the_same(self, table: dict[str, Any]) -> None:
        written = encoded(table)
        entries = split_table(written)
        self.assertEqual([name.encode() for name in table], list(entries))
        self.assertEqual(written, join_table(entries))

    @given(TABLES)
    def test_each_entry_is_the_value_with_its_type(self, table: dict[str, Any]) -> None:
        for name, value in split_table(encoded(table)).items():
            self.assertEqual({"a": table[name.decode()]}, read_table(table_of(value)))

    def test_values_that_pika_does_not_know_stay_as_they_came(self) -> None:
        for value in STRANGE:
            self.assertEqual({b"a": value}, split_table(table_of(value)))

    def test_names_of_any_bytes_stay_as_they_came(self) -> None:
        entries = {b"\xff\xfe": b"V", b"": b"V", b"\0" * 255: b"V"}
        self.assertEqual(entries, split_table(join_table(entries)))

    @given(TABLES, st.data())
    def test_table_that_is_cut_off_is_refused(
        self, table: dict[str, Any], data: st.DataObject
    ) -> None:
        written = encoded(table)
        end = data.draw(st.integers(0, len(written) - 1))
        self.assertRaises(SyntaxRefused, split_table, written[:end])

    @given(TABLES.filter(bool), st.data())
    def test_table_whose_length_is_wrong_is_refused(
        self, table: dict[str, Any], data: st.DataObject
    ) -> None:
        content = encoded(table)[4:]
        length = data.draw(st.integers(0, 2 * len(content)).filter(len(content).__ne__))
        self.assertRaises(SyntaxRefused, split_table, struct.pack(">I", length) + content)

    @given(TABLES, st.binary(min_size=1, max_size=5))
    def test_table_with_bytes_too_many_is_refused(self, table: dict[str, Any], more: bytes) -> None:
        self.assertRaises(SyntaxRefused, split_table, encoded(table) + more)

    @given(st.binary(max_size=60))
    def test_any_bytes_are_taken_apart_or_refused(self, data: bytes) -> None:
        with contextlib.suppress(SyntaxRefused):
            split_table(struct.pack(">I", len(data)) + data)

    def test_tables_in_tables_without_end_are_refused(self) -> None:
        value = b"V"
        for _ in range(5000):
            value = b"A" + struct.pack(">I", len(value)) + value
        self.assertRaises(SyntaxRefused, split_table, table_of(value))
