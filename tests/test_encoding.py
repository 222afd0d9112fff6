"""`netdemo.broker.encoding`: whatever can be read is written as it came."""

from __future__ import annotations

import struct
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.encoding import write_table, write_value
from netdemo.broker.tables import fields, read_table
from netdemo.errors import SyntaxRefused
from tests.nonsense import Nonsense

CANONICAL = (
    b"t\0",
    b"t\x01",
    b"b\x80",
    b"B\xff",
    b"s\x80\0",
    b"u\xff\xff",
    b"I\x80\0\0\0",
    b"I\x7f\xff\xff\xff",
    b"i\xff\xff\xff\xff",
    b"l\x80\0\0\0\0\0\0\0",
    b"l\0\0\0\0\0\0\0\x01",
    b"T\xff\xff\xff\xff\xff\xff\xff\xff",
    b"f\x3f\xc0\0\0",
    b"f\x7f\x80\0\0",
    b"d\x3f\xf8\0\0\0\0\0\0",
    b"d\x80\0\0\0\0\0\0\0",
    b"D\x02\0\0\0\x64",
    b"V",
    b"S\0\0\0\0",
    b"S\0\0\0\x02\xff\0",
    b"x\0\0\0\x02\xff\0",
    b"A\0\0\0\0",
    b"F\0\0\0\0",
    b"A\0\0\0\x05Vt\x01b\x05",
    b"F\0\0\0\x07\x01aV\x01bt\x01",
    b"A\0\0\0\x08F\0\0\0\x03\x01aV",
)
"""A value of each type, as it is written."""

NAMES = st.binary(max_size=255) | st.text(max_size=20).map(str.encode)


def joined(entries: dict[bytes, bytes]) -> bytes:
    """Return a table whose values are encoded, in this order."""
    content = b"".join(b"%c%b%b" % (len(name), name, entries[name]) for name in entries)
    return struct.pack(">I", len(content)) + content


class WritingTests(SynchronousTestCase):
    """Tables that came from a client."""

    def test_decimal_of_more_than_31_bits_is_written_as_it_came(self) -> None:
        for decimal in (b"D\x02\xff\xff\xff\xff", b"D\xff\x80\0\0\0", b"D\0\0\0\0\0"):
            table = struct.pack(">I", 2 + len(decimal)) + b"\x01a" + decimal
            self.assertEqual(table, write_table(read_table(table)))

    @given(st.integers(min_value=0))
    def test_every_table_that_can_be_read_can_be_written(self, seed: int) -> None:
        try:
            values = read_table(Nonsense(Random(seed)).table())
        except SyntaxRefused:
            assume(False)
        written = write_table(values)
        again = read_table(written)
        self.assertEqual(set(fields(values)), set(fields(again)))
        self.assertEqual(written, write_table(again))  # one NaN is not equal to another

    def test_value_of_each_type_is_written_as_it_came(self) -> None:
        for value in CANONICAL:
            table = joined({b"a": value})
            self.assertEqual(table, write_table(read_table(table)), value)

    def test_wide_integer_is_written_with_the_one_octet_for_it(self) -> None:
        number = b"\0" * 7 + b"\x05"
        written = write_table(read_table(joined({b"a": b"L" + number})))
        self.assertEqual(joined({b"a": b"l" + number}), written)

    def test_plain_numbers_of_python_are_written_as_narrow_as_rabbitmqs(self) -> None:
        self.assertEqual(b"I\0\0\0\x05", write_value(5))
        self.assertEqual(b"l" + (1 << 40).to_bytes(8), write_value(1 << 40))

    @given(st.dictionaries(NAMES, st.sampled_from(CANONICAL), max_size=8), st.randoms())
    def test_names_in_any_order_are_written_in_one(
        self, entries: dict[bytes, bytes], random: Random
    ) -> None:
        shuffled = list(entries.items())
        random.shuffle(shuffled)
        written = write_table(read_table(joined(entries)))
        self.assertEqual(written, write_table(read_table(joined(dict(shuffled)))))
        names = list(read_table(written))
        self.assertEqual(sorted(names), names)

    @given(st.dictionaries(NAMES, st.sampled_from(CANONICAL), max_size=8))
    def test_table_that_is_in_order_is_written_as_it_came(
        self, entries: dict[bytes, bytes]
    ) -> None:
        names = sorted(entries, key=lambda name: name.decode("utf-8", "surrogateescape"))
        table = joined({name: entries[name] for name in names})
        self.assertEqual(table, write_table(read_table(table)))
