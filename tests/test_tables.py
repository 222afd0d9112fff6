"""`netdemo.broker.tables` and `netdemo.broker.terms`: values with RabbitMQ's types, and shown."""

from __future__ import annotations

import contextlib
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika.compat import long
from pika.data import encode_table
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.tables import Field, Float, Integer, field, fields, read_table
from netdemo.broker.terms import shown, shown_string
from netdemo.errors import SyntaxRefused

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text() | st.binary(),
    lambda each: st.lists(each) | st.dictionaries(st.text(max_size=20), each),
    max_leaves=10,
)


def encoded(table: dict[str, Any]) -> bytes:
    """Encode a table with pika's codec."""
    pieces: list[bytes] = []
    encode_table(pieces, table)
    return b"".join(pieces)


def table_of(value: bytes) -> bytes:
    """Return a table in which such a value is named ``a``."""
    return struct.pack(">I", 2 + len(value)) + b"\x01a" + value


def read(value: bytes) -> Any:
    """Read a value."""
    return read_table(table_of(value))["a"]


class ReadTests(SynchronousTestCase):
    """`read_table`."""

    @given(st.dictionaries(st.text(max_size=20), VALUES))
    def test_what_pika_has_written_is_read(self, table: dict[str, Any]) -> None:
        self.assertEqual(read_table(encoded(table)), table)

    def test_integers_keep_their_type(self) -> None:
        for value, number, kind in (
            (b"b\xff", -1, "byte"),
            (b"B\xff", 255, "unsignedbyte"),
            (b"s\xff\xff", -1, "short"),
            (b"u\xff\xff", 65_535, "unsignedshort"),
            (b"I\xff\xff\xff\xff", -1, "signedint"),
            (b"i\xff\xff\xff\xff", (1 << 32) - 1, "unsignedint"),
            (b"l" + b"\xff" * 8, -1, "long"),
            (b"L" + b"\xff" * 8, -1, "long"),
            (b"T" + b"\xff" * 8, (1 << 64) - 1, "timestamp"),
        ):
            self.assertEqual(read(value), number)
            self.assertEqual(field(read(value)), (kind, number))

    def test_fractions_stay(self) -> None:
        self.assertEqual(field(read(b"d" + struct.pack(">d", 1.75))), ("double", 1.75))
        self.assertEqual(field(read(b"f" + struct.pack(">f", 1.75))), ("float", 1.75))
        self.assertEqual(field(read(b"D\x02\x00\x00\x00\x64")), ("decimal", (2, 100)))
        self.assertEqual(field(read(b"D\x00\xff\xff\xff\xff")), ("decimal", (0, 0xFFFF_FFFF)))

    def test_what_is_not_utf_8_stays(self) -> None:
        table = read_table(b"\x00\x00\x00\x08\x01\xffS\x00\x00\x00\x01\xfe")
        self.assertEqual(table, {"\udcff": "\udcfe"})
        self.assertEqual(fields(table), {"\udcff": ("longstr", b"\xfe")})

    def test_what_is_no_table_is_refused(self) -> None:
        whole = encoded({"a": "text", "b": {"c": [1]}})
        for data in (
            *(whole[:end] for end in range(len(whole))),
            whole + b"\x00",
            table_of(b"U\x00\x01"),
            table_of(b""),
            table_of(b"S\x00\x00\x00\x02a"),
            b"\x00\x00\x00\x08\x01aF\x00\x00\x00\x01\x01" + b"a" * 8,
        ):
            self.assertRaises(SyntaxRefused, read_table, data)

    def test_tables_in_tables_without_end_are_refused(self) -> None:
        value = b"V"
        for _ in range(5000):
            value = b"A" + struct.pack(">I", len(value)) + value
        self.assertRaises(SyntaxRefused, read_table, table_of(value))

    @given(st.binary(max_size=40))
    def test_anything_is_read_or_refused(self, data: bytes) -> None:
        with contextlib.suppress(SyntaxRefused):
            fields(read_table(struct.pack(">I", len(data)) + data))


class FieldTests(SynchronousTestCase):
    """`field`, of what pika has read."""

    def test_each_value_has_its_type_and_term(self) -> None:
        for value, wanted in (
            (None, ("void", "undefined")),
            (True, ("bool", "true")),
            (5, ("signedint", 5)),
            (long(5), ("long", 5)),
            (1 << 31, ("long", 1 << 31)),
            (Integer(5, "short"), ("short", 5)),
            ("é", ("longstr", b"\xc3\xa9")),
            (b"a", ("binary", b"a")),
            (1.5, ("double", 1.5)),
            (Float(1.5), ("float", 1.5)),
            (Decimal("-1.5"), ("decimal", (1, (1 << 32) - 15))),
            (datetime(1970, 1, 2, tzinfo=UTC), ("timestamp", 86_400)),
            ({"a": 1}, ("table", ((b"a", "signedint", 1),))),
            ([1, "a"], ("array", (("signedint", 1), ("longstr", b"a")))),
        ):
            self.assertEqual(field(value), wanted)

    def test_a_name_that_pika_left_bytes_is_text(self) -> None:
        table: dict[Any, Any] = {b"\xff": 1, "a": {b"\xff": 1}}
        self.assertEqual(
            fields(table),
            {"\udcff": ("signedint", 1), "a": ("table", ((b"\xff", "signedint", 1),))},
        )

    def test_what_is_no_value_is_an_error(self) -> None:
        self.assertRaises(TypeError, field, object())


class ShownTests(SynchronousTestCase):
    """Erlang's notation, as RabbitMQ was seen to write it."""

    def test_texts(self) -> None:
        for text, wanted in (
            (b"", "<<>>"),
            (b"foo", '<<"foo">>'),
            ("é".encode(), '<<"é">>'),
            ("€".encode(), "<<226,130,172>>"),
            (b"a\x7fb", "<<97,127,98>>"),
            (b"\t\v\b\f\r\n\x1b", r'<<"\t\v\b\f\r\n\e">>'),
            (b"'\"\\", r"""<<"'\"\\">>"""),
        ):
            self.assertEqual(shown(("longstr", text)), wanted)

    def test_strings(self) -> None:
        self.assertEqual(shown_string(b'a"\n'), r'"a\"\n"')
        self.assertEqual(shown_string(b"a\0"), "[97,0]")

    def test_numbers(self) -> None:
        for value, wanted in (
            (100.0, "100.0"),
            (1000.0, "1.0e3"),
            (1234567.0, "1234567.0"),
            (1e10, "1.0e10"),
            (1.5e300, "1.5e300"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00012, "1.2e-4"),
            (1e-7, "1.0e-7"),
            (-1000.0, "-1.0e3"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (float("inf"), "inf"),
            (5, "5"),
            (Decimal("1.25"), "{2,125}"),
        ):
            self.assertEqual(shown(field(value)), wanted)

    def test_tables_and_arrays(self) -> None:
        table = {"a": 1, "b": ["x", None], "c": True}
        self.assertEqual(
            shown(field(table)),
            '[{<<"a">>,signedint,1},{<<"b">>,array,[{longstr,<<"x">>},{void,undefined}]},'
            '{<<"c">>,bool,true}]',
        )

    @given(VALUES)
    def test_anything_is_shown_on_one_line(self, value: Any) -> None:
        value_field: Field = field(value)
        self.assertEqual(len(shown(value_field).splitlines()), 1)
