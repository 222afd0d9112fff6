"""Random bytes, random frames and spoilt conversations: our broker outlives them all.

``python -m tests.hostile`` does the same as long as wanted.
"""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.frames import frame
from tests.broker_peer import GREETING
from tests.hostile import HostileTrial
from tests.processes import anonymous_memory

FRAMES = 100_000
MIB = 1024 * 1024

FRAME = st.builds(
    frame, st.integers(0, 9), st.sampled_from([0, 1, 2, 65535]), st.binary(max_size=40)
)
OPEN_CHANNEL = b"\x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce"


class NonsenseTests(SynchronousTestCase):
    """What is no AMQP, or once was."""

    def test_random_streams_reach_neither_others_nor_log_nor_memory(self) -> None:
        with HostileTrial(1) as trial:
            trial.run(FRAMES // 5)  # until what is kept for speed is there
        before = anonymous_memory(os.getpid())
        with HostileTrial(2) as trial:
            trial.run(FRAMES)
        self.assertLess(anonymous_memory(os.getpid()), before + 16 * MIB)

    @settings(deadline=None)
    @given(st.lists(st.binary(), min_size=1))
    def test_bytes_before_the_connection_is_open_are_survived(self, pieces: list[bytes]) -> None:
        with HostileTrial(1) as trial:
            trial.send(pieces)
            trial.send([b"AMQP\0\0\x09\x01", *pieces])
            trial.check_nothing_is_left()

    @settings(deadline=None)
    @given(st.lists(st.binary() | FRAME, min_size=1))
    def test_bytes_and_frames_on_an_open_connection_are_survived(self, pieces: list[bytes]) -> None:
        with HostileTrial(1) as trial:
            trial.send([GREETING, *pieces])
            trial.send([GREETING + OPEN_CHANNEL, *pieces])
            trial.check_nothing_is_left()
