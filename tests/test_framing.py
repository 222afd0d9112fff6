"""`netdemo.bridge.framing`: records in, records out, in each framing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge.framing import (
    FRAMINGS,
    MAX_INT32,
    Framing,
    FramingError,
    Int32Framing,
    LineFraming,
    NetstringFraming,
    RecordRefused,
)

LIMIT = 10


class FramingTestCase(SynchronousTestCase):
    """One connection; `codes` are those of what was refused."""

    kind: type[Framing]

    def setUp(self) -> None:
        self.new()

    def new(self) -> None:
        """Begin a connection."""
        self.records: list[bytes] = []
        self.codes: list[str] = []
        self.framing = self.kind(self.records.append, self._refused, LIMIT)

    def _refused(self, refusal: RecordRefused) -> None:
        self.codes.append(refusal.code)

    def receive(self, *pieces: bytes) -> None:
        """Receive `pieces` on a new connection, as far as they are taken."""
        self.new()
        for piece in pieces:
            if not self.codes:
                self.framing.dataReceived(piece)

    def receive_in_bytes(self, data: bytes) -> None:
        """Receive `data` byte by byte on a new connection."""
        self.receive(*(data[at : at + 1] for at in range(len(data))))


class LineFramingTests(FramingTestCase):
    """Lines of at most ten bytes."""

    kind = LineFraming

    def test_lf_and_crlf_end_a_record(self) -> None:
        self.framing.dataReceived(b"a\nb\r\n\n")
        self.assertEqual(self.records, [b"a", b"b", b""])

    def test_only_one_cr_belongs_to_the_end(self) -> None:
        self.framing.dataReceived(b"a\r\r\nb\rc\n")
        self.assertEqual(self.records, [b"a\r", b"b\rc"])

    def test_record_of_the_limit_is_taken_with_either_end(self) -> None:
        self.framing.dataReceived(b"0123456789\n0123456789\r\n")
        self.assertEqual(self.records, [b"0123456789"] * 2)
        self.assertEqual(self.codes, [])

    def test_record_beyond_the_limit_is_told_with_either_end_or_none(self) -> None:
        for data in (b"0123456789x\n", b"0123456789x\r\n", b"0123456789xyz"):
            self.new()
            self.framing.dataReceived(b"ok\n" + data)
            self.assertEqual((self.records, self.codes[:1]), ([b"ok"], ["too-long"]))

    def test_what_is_left_at_the_end_is_a_record(self) -> None:
        self.framing.dataReceived(b"a\nb")
        self.framing.finish()
        self.framing.finish()
        self.assertEqual(self.records, [b"a", b"b"])

    def test_newline_inside_a_record_is_refused_not_altered(self) -> None:
        self.assertRaises(FramingError, LineFraming.encode, b"a\nb")

    def test_line_in_bytes_is_a_record_at_its_end_and_refused_beyond_the_limit(self) -> None:
        self.receive_in_bytes(b"0123456789\r\n\na\n")
        self.assertEqual(self.records, [b"0123456789", b"", b"a"])
        self.receive_in_bytes(b"0123456789xy")
        self.assertEqual((self.records, self.codes), ([], ["too-long"]))

    def test_rest_tells_of_a_line_without_its_end_and_of_nothing_else(self) -> None:
        for pieces, rest in (((b"a\n",), False), ((b"a\nb",), True), ((b"a", b"b"), True)):
            self.receive(*pieces)
            self.assertEqual(bool(self.framing.rest()), rest, pieces)

    def test_last_line_may_come_in_pieces_and_after_another(self) -> None:
        self.receive(b"a\nb", b"c", b"d")
        self.framing.finish()
        self.assertEqual(self.records, [b"a", b"bcd"])
        self.assertEqual(self.framing.rest(), b"")


class NetstringFramingTests(FramingTestCase):
    """Netstrings of at most ten bytes."""

    kind = NetstringFraming

    def test_record_of_the_limit_and_the_empty_one_are_taken(self) -> None:
        self.receive(b"10:0123456789,0:,")
        self.assertEqual((self.records, self.codes), ([b"0123456789", b""], []))

    def test_length_beyond_the_limit_is_too_long_before_anything_else_comes(self) -> None:
        for data in (b"11:", b"11", b"999999999999999999:", b"9" * 5000, b"9" * 5000 + b":x"):
            self.receive(b"1:a," + data)
            self.assertEqual((self.records, self.codes), ([b"a"], ["too-long"]), data[:20])

    def test_length_beyond_the_limit_in_bytes_is_too_long(self) -> None:
        self.receive_in_bytes(b"1:a,9999999999999:")
        self.assertEqual((self.records, self.codes), ([b"a"], ["too-long"]))

    def test_what_is_no_netstring_is_malformed(self) -> None:
        for data in (
            b"a",
            b"-1:",
            b" 1:a,",
            b"01:a,",
            b"00:",
            b":",
            b",",
            b"1a:",
            b"3:abcd",
            b"1:a\n",
            b"1;a,",
            b"\xd9\xa1:a,",
            b"5\n",
        ):
            self.receive(b"1:a," + data)
            self.assertEqual((self.records, self.codes), ([b"a"], ["malformed"]), data)
            self.receive_in_bytes(b"1:a," + data)
            self.assertEqual((self.records, self.codes), ([b"a"], ["malformed"]), data)

    def test_rest_tells_of_every_part_of_a_netstring_and_of_nothing_else(self) -> None:
        self.receive(b"1:a,")
        self.assertEqual(self.framing.rest(), b"")
        for part in (b"2", b"2:", b"2:a", b"2:ab", b"0:"):
            self.receive(b"1:a," + part)
            self.assertNotEqual(self.framing.rest(), b"", part)
            self.framing.finish()
            self.assertEqual(self.records, [b"a"])

    def test_client_that_is_idle_keeps_nothing_of_its_last_record(self) -> None:
        self.receive(b"10:0123456789,")
        assert isinstance(self.framing, NetstringFraming)
        self.assertEqual(self.framing._payload.getvalue(), b"")


class Int32FramingTests(FramingTestCase):
    """Records of at most ten bytes after their lengths."""

    kind = Int32Framing

    def test_record_of_the_limit_and_the_empty_one_are_taken(self) -> None:
        for receive in (self.receive, self.receive_in_bytes):
            receive(b"\0\0\0\x0a0123456789\0\0\0\0\0\0\0\1a")
            self.assertEqual((self.records, self.codes), ([b"0123456789", b"", b"a"], []))

    def test_length_beyond_the_limit_is_too_long_before_anything_else_comes(self) -> None:
        for length in (b"\0\0\0\x0b", b"\xff\xff\xff\xff", b"GET "):
            for receive in (self.receive, self.receive_in_bytes):
                receive(b"\0\0\0\1a" + length)
                self.assertEqual((self.records, self.codes), ([b"a"], ["too-long"]), length)

    def test_rest_tells_of_every_part_of_a_record_and_of_nothing_else(self) -> None:
        whole = Int32Framing.encode(b"ab")
        for end in range(len(whole) + 1):
            self.receive_in_bytes(whole[:end])
            self.framing.finish()
            self.assertEqual(bool(self.framing.rest()), 0 < end < len(whole))

    def test_record_for_whose_length_four_bytes_are_not_enough_is_unfit(self) -> None:
        class Huge(bytes):
            def __len__(self) -> int:
                return MAX_INT32 + 1

        self.assertRaises(FramingError, Int32Framing.encode, Huge())


class LongRecordTests(SynchronousTestCase):
    """A record that comes in many pieces."""

    def test_it_is_not_copied_for_each_piece(self) -> None:
        """Else a record of a few MiB, a few bytes at a time, would cost the reactor minutes."""
        size = 1 << 20
        for name, framing in FRAMINGS.items():
            records: list[bytes] = []
            receiver = framing(records.append, self.fail, size)
            data, copied = framing.encode(b"x" * size), 0
            for at in range(0, len(data), 1024):
                receiver.dataReceived(data[at : at + 1024])
                # What Twisted's parsers would copy with the next piece.
                copied += len(getattr(receiver, "_buffer", b""))
                copied += len(getattr(receiver, "_unprocessed", b""))
                copied += len(getattr(receiver, "_remainingData", b""))
            self.assertEqual(records, [b"x" * size])
            self.assertLess(copied, 2 * size, name)
