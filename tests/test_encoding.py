"""`netdemo.broker.encoding`: whatever can be read is written as it came."""

from __future__ import annotations

import struct
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.encoding import write_table
from netdemo.broker.tables import fields, read_table
from netdemo.errors import SyntaxRefused
from tests.nonsense import Nonsense


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
