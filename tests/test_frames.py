"""`netdemo.frames`: frames are cut from any pieces, and what is none is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pika.exceptions import InvalidFrameError
from pika.frame import Body
from twisted.trial.unittest import SynchronousTestCase

from netdemo.frames import BODY, OVERHEAD, FrameReader, frame

FRAME_MAX = 4096


def read(
    reader: FrameReader, data: bytes, frame_max: int = FRAME_MAX
) -> list[tuple[int, int, bytes]]:
    """Return the frames that `data` completes."""
    return list(reader.frames(data, frame_max))


class FrameTests(SynchronousTestCase):
    """`frame` and `FrameReader`."""

    def test_a_frame_is_as_pikas(self) -> None:
        self.assertEqual(frame(BODY, 513, b"body"), Body(513, b"body").marshal())

    @given(
        frames=st.lists(
            st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary())
        ),
        size=st.integers(1, 40),
    )
    def test_what_is_put_together_is_cut_as_it_was(
        self, frames: list[tuple[int, int, bytes]], size: int
    ) -> None:
        data = b"".join(frame(*each) for each in frames)
        reader = FrameReader()
        found = []
        for start in range(0, len(data), size):
            found += read(reader, data[start : start + size])
        self.assertEqual(found, frames)

    def test_longest_frame_is_taken_and_a_longer_one_refused_before_it_is_there(self) -> None:
        longest = frame(BODY, 1, bytes(FRAME_MAX - OVERHEAD))
        self.assertEqual(len(read(FrameReader(), longest)), 1)
        longer = frame(BODY, 1, bytes(FRAME_MAX - OVERHEAD + 1))
        error = self.assertRaises(InvalidFrameError, read, FrameReader(), longer[:OVERHEAD])
        self.assertEqual(str(error), "a frame of more than 4096 bytes")

    def test_frame_without_its_end_is_refused_after_those_before_it(self) -> None:
        reader = FrameReader()
        found = reader.frames(frame(BODY, 1, b"a") + frame(BODY, 1, b"b")[:-1] + b"x", FRAME_MAX)
        self.assertEqual(next(found), (BODY, 1, b"a"))
        self.assertRaises(InvalidFrameError, next, found)
