"""`netdemo.bridge.framing`: lines in, lines out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge.framing import FramingError, LineFraming


class LineFramingTests(SynchronousTestCase):
    """Lines of at most ten bytes."""

    def setUp(self) -> None:
        self.new()

    def new(self) -> None:
        """Begin a connection."""
        self.records: list[bytes] = []
        self.too_long = 0
        self.framing = LineFraming(self.records.append, self._too_long, 10)
        self.framing.makeConnection(StringTransport())

    def _too_long(self) -> None:
        self.too_long += 1

    def test_lf_and_crlf_end_a_record(self) -> None:
        self.framing.dataReceived(b"a\nb\r\n\n")
        self.assertEqual(self.records, [b"a", b"b", b""])

    def test_only_one_cr_belongs_to_the_end(self) -> None:
        self.framing.dataReceived(b"a\r\r\nb\rc\n")
        self.assertEqual(self.records, [b"a\r", b"b\rc"])

    def test_record_of_the_limit_is_taken_with_either_end(self) -> None:
        self.framing.dataReceived(b"0123456789\n0123456789\r\n")
        self.assertEqual(self.records, [b"0123456789"] * 2)
        self.assertEqual(self.too_long, 0)

    def test_record_beyond_the_limit_is_told_with_either_end_or_none(self) -> None:
        for data in (b"0123456789x\n", b"0123456789x\r\n", b"0123456789xyz"):
            self.new()
            self.framing.dataReceived(b"ok\n" + data)
            self.assertEqual((self.records, self.too_long), ([b"ok"], 1))

    def test_what_is_left_at_the_end_is_a_record(self) -> None:
        self.framing.dataReceived(b"a\nb")
        self.framing.finish()
        self.framing.finish()
        self.assertEqual(self.records, [b"a", b"b"])

    def test_newline_inside_a_record_is_refused_not_altered(self) -> None:
        self.assertRaises(FramingError, LineFraming.encode, b"a\nb")

    @given(
        records=st.lists(
            st.binary(max_size=10).filter(lambda r: b"\n" not in r and r[-1:] != b"\r")
        ),
        cuts=st.lists(st.integers(1, 5), min_size=1),
    )
    def test_any_records_survive_any_chunking(self, records: list[bytes], cuts: list[int]) -> None:
        self.new()
        data = b"".join(map(LineFraming.encode, records))
        while data:
            for cut in cuts:
                self.framing.dataReceived(data[:cut])
                data = data[cut:]
        self.assertEqual(self.records, records)
