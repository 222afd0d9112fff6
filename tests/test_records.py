"""`netdemo.bridge.records`: records, one at a time, and none while it is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge.framing import FRAMINGS, LineFraming, NetstringFraming, RecordRefused
from netdemo.bridge.records import PIECE, Records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netdemo.bridge.framing import Framing

LIMIT = 20

framings = st.sampled_from(list(FRAMINGS.values()))
chunkings = st.lists(st.integers(1, 30), min_size=1)
pauses = st.sets(st.integers(0, 30))


class Reader:
    """Reads records, and pauses after those with the numbers in `pauses`."""

    def __init__(
        self, framing: type[Framing], limit: int = LIMIT, pauses: Iterable[int] = ()
    ) -> None:
        self.read: list[bytes] = []
        self.refusals: list[str] = []
        self.while_paused = 0
        self._pauses = frozenset(pauses)
        self.records = Records(framing, self._received, self._refused, limit)

    def _received(self, record: bytes) -> None:
        self.while_paused += self.records.paused
        if len(self.read) in self._pauses:
            self.records.paused = True
        self.read.append(record)

    def _refused(self, refusal: RecordRefused) -> None:
        self.while_paused += self.records.paused
        self.refusals.append(refusal.code)

    def go_on(self) -> None:
        """Resume until nothing is left that it has read."""
        while self.records.paused:
            self.records.resume()


def chunks(data: bytes, cuts: list[int]) -> Iterable[bytes]:
    """Yield `data` in chunks of the sizes in `cuts`, again and again."""
    while data:
        for cut in cuts:
            yield data[:cut]
            data = data[cut:]


def fits(framing: type[Framing], record: bytes) -> bool:
    """Tell whether `record` comes out of `framing` as it went in."""
    return framing is not LineFraming or (b"\n" not in record and record[-1:] != b"\r")


class AnyChunkingTests(SynchronousTestCase):
    """Whatever pieces it comes in, and whoever pauses when."""

    @settings(max_examples=300)
    @given(framings, st.lists(st.binary(max_size=LIMIT)), chunkings, pauses, st.booleans())
    def test_records_survive_with_pauses_at_any_place(
        self,
        framing: type[Framing],
        records: list[bytes],
        cuts: list[int],
        pauses: set[int],
        late: bool,
    ) -> None:
        records = [record for record in records if fits(framing, record)]
        reader = Reader(framing, pauses=pauses)
        for chunk in chunks(b"".join(map(framing.encode, records)), cuts):
            reader.records.data_received(chunk)
            if not late:
                reader.go_on()
        reader.go_on()
        self.assertFalse(reader.records.finish())
        self.assertEqual((reader.read, reader.refusals), (records, []))
        self.assertEqual(reader.while_paused, 0)

    @settings(max_examples=500)
    @given(framings, st.binary(max_size=200), chunkings, pauses, st.booleans())
    @example(NetstringFraming, b"21\0", [2], set(), False)
    def test_garbage_never_raises_and_comes_to_the_same_in_any_pieces(
        self, framing: type[Framing], data: bytes, cuts: list[int], pauses: set[int], clean: bool
    ) -> None:
        whole, pieces = Reader(framing), Reader(framing, pauses=pauses)
        whole.records.data_received(data)
        for chunk in chunks(data, cuts):
            pieces.records.data_received(chunk)
        pieces.go_on()
        self.assertEqual(whole.records.finish(clean), pieces.records.finish(clean))
        self.assertEqual(whole.read, pieces.read)
        self.assertEqual(whole.refusals, pieces.refusals)
        self.assertLessEqual(len(whole.refusals), 1)
        self.assertLessEqual(max(map(len, whole.read), default=0), LIMIT)
        self.assertEqual(pieces.while_paused, 0)

    @settings(max_examples=300)
    @given(framings, st.lists(st.binary(max_size=LIMIT)), st.binary(max_size=30), chunkings)
    def test_records_before_garbage_are_those_that_were_sent(
        self, framing: type[Framing], records: list[bytes], garbage: bytes, cuts: list[int]
    ) -> None:
        records = [record for record in records if fits(framing, record)]
        reader = Reader(framing)
        for chunk in chunks(b"".join(map(framing.encode, records)) + garbage, cuts):
            reader.records.data_received(chunk)
        self.assertEqual(reader.read[: len(records)], records)
        # What comes out of garbage may have been sent like that.
        again = b"".join(map(framing.encode, reader.read[len(records) :]))
        if framing is LineFraming:
            self.assertTrue(garbage.replace(b"\r\n", b"\n").startswith(again), (garbage, again))
        else:
            self.assertTrue(garbage.startswith(again), (garbage, again))

    @given(framings, st.integers(0, 50), st.binary(min_size=LIMIT + 2))
    def test_record_that_is_too_long_is_the_last(
        self, framing: type[Framing], before: int, long: bytes
    ) -> None:
        long = long.replace(b"\n", b"x")
        reader = Reader(framing)
        data = [framing.encode(b"a")] * before + [framing.encode(long), framing.encode(b"b")]
        reader.records.data_received(b"".join(data))
        reader.records.data_received(framing.encode(b"c"))
        self.assertEqual((reader.read, reader.refusals), ([b"a"] * before, ["too-long"]))


class PausingTests(SynchronousTestCase):
    """Who receives a record does something to the reading of the next."""

    def test_nothing_comes_while_it_is_paused_and_refusal_waits_for_its_turn(self) -> None:
        reader = Reader(LineFraming, pauses=[0, 1])
        reader.records.data_received(b"a\nb\n" + b"x" * 40 + b"\nc\n")
        self.assertEqual((reader.read, reader.refusals), ([b"a"], []))
        reader.records.resume()
        self.assertEqual((reader.read, reader.refusals), ([b"a", b"b"], []))
        reader.records.resume()
        self.assertEqual((reader.read, reader.refusals), ([b"a", b"b"], ["too-long"]))
        reader.records.resume()
        self.assertEqual(reader.refusals, ["too-long"])

    def test_receiver_that_pauses_and_resumes_at_once_gets_all_in_order_without_nesting(
        self,
    ) -> None:
        read: list[bytes] = []
        inside = 0

        def received(record: bytes) -> None:
            nonlocal inside
            self.assertEqual(inside, 0)
            inside += 1
            records.paused = True
            read.append(record)
            records.resume()
            inside -= 1

        records = Records(LineFraming, received, self.fail, LIMIT)
        sent = [b"%d" % number for number in range(5000)]
        records.data_received(b"".join(map(LineFraming.encode, sent)))
        self.assertEqual(read, sent)

    def test_what_arrives_while_it_is_paused_comes_after_what_waits(self) -> None:
        reader = Reader(LineFraming, pauses=[0])
        reader.records.data_received(b"a\nb\nc")
        reader.records.data_received(b"d\n")
        reader.records.resume()
        self.assertEqual(reader.read, [b"a", b"b", b"cd"])

    def test_no_more_than_a_piece_waits_as_records(self) -> None:
        """Each is an object of Python, and so a hundred times what it was on the wire."""
        reader = Reader(LineFraming, 1 << 20, pauses=[0])
        reader.records.data_received(b"x" * (1 << 20))
        reader.records.data_received(b"\n" * (1 << 20))
        self.assertEqual(len(reader.read), 1)
        assert reader.records._waiting is not None
        self.assertLessEqual(len(reader.records._waiting), PIECE)
        reader.go_on()
        self.assertEqual(len(reader.read), 1 << 20)

    def test_receiver_that_raises_costs_no_other_piece(self) -> None:
        read: list[bytes] = []

        def received(record: bytes) -> None:
            read.append(record)
            if record == b"bad":
                raise ZeroDivisionError

        records = Records(LineFraming, received, self.fail, LIMIT)
        self.assertRaises(ZeroDivisionError, records.data_received, b"a\nbad\n")
        records.data_received(b"b\n")
        self.assertEqual(read, [b"a", b"bad", b"b"])


class FinishingTests(SynchronousTestCase):
    """`Records.finish`."""

    def test_last_line_is_a_record_when_the_end_is_clean(self) -> None:
        reader = Reader(LineFraming)
        reader.records.data_received(b"a\nb")
        self.assertFalse(reader.records.finish())
        self.assertEqual(reader.read, [b"a", b"b"])

    def test_last_line_is_left_when_it_is_not(self) -> None:
        reader = Reader(LineFraming)
        reader.records.data_received(b"a\nb")
        self.assertTrue(reader.records.finish(clean=False))
        self.assertEqual(reader.read, [b"a"])

    def test_nothing_is_taken_afterwards(self) -> None:
        reader = Reader(LineFraming)
        reader.records.finish()
        reader.records.data_received(b"a\n")
        self.assertFalse(reader.records.finish())
        self.assertEqual(reader.read, [])

    def test_nothing_is_left_after_a_refusal(self) -> None:
        reader = Reader(LineFraming)
        reader.records.data_received(b"x" * 40)
        self.assertFalse(reader.records.finish())
        self.assertEqual(reader.refusals, ["too-long"])
