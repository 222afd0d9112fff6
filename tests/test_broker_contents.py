"""Bodies that come to our broker in pieces: they cost what they hold."""

from __future__ import annotations

import tracemalloc

from pika import spec

from netdemo.broker.wire import write_method
from netdemo.frames import BODY, HEADER, frame
from tests.broker_peer import BrokerPeerTestCase, content_header

SIZE = 64 * 1024


class PiecesTests(BrokerPeerTestCase):
    """A body in frames as small as can be."""

    def grown(self, frames: bytes) -> int:
        """Return the bytes that these frames of an unfinished body cost."""
        peer = self.connect()
        begin = write_method(1, spec.Basic.Publish(0, "", "q"))
        peer.send(begin + frame(HEADER, 1, content_header(SIZE)))
        tracemalloc.start()
        try:
            peer.send(frames)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    def test_body_of_two_bytes_a_frame_costs_little_more_than_itself(self) -> None:
        self.assertLess(self.grown(frame(BODY, 1, b"ab") * (SIZE // 2 - 1)), 2 * SIZE)

    def test_frames_without_anything_in_them_cost_nothing(self) -> None:
        self.assertLess(self.grown(frame(BODY, 1, b"") * SIZE), SIZE)

    def test_body_is_whole(self) -> None:
        peer = self.connect()
        peer.call(spec.Queue.Declare(queue="q"))
        begin = write_method(1, spec.Basic.Publish(0, "", "q"))
        peer.send(begin + frame(HEADER, 1, content_header(4)))
        for piece in (b"", b"1", b"", b"23", b"4"):
            peer.send(frame(BODY, 1, piece))
        entry = self.vhost.queue("q").ready.head()
        assert entry is not None
        self.assertEqual((b"1234", bytes), (entry.message.body, type(entry.message.body)))
