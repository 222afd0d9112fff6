"""The ways to send a poem."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.poetry.file import PoemFile
from netdemo.poetry.sending import (
    CHUNK,
    PIECE,
    PIECES,
    KernelSender,
    PieceSender,
    SlowSender,
    send,
)
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

LARGE = bytes(range(256)) * 4 * 1024 + b"end"


class SendingTestCase(SynchronousTestCase):
    """A test with a large poem in a folder of its own."""

    def setUp(self) -> None:
        self.path = temporary_folder(self) / "poem.txt"
        self.path.write_bytes(LARGE)
        self.transport: Any = StringTransport()
        self.clock = Clock()

    def poem(self, content: bytes | None = None) -> PoemFile:
        """Return the file, open, with other `content` if there is any."""
        if content is not None:
            self.path.write_bytes(content)
        poem = PoemFile(self.path)
        self.addCleanup(poem.close)
        return poem


class SendTests(SendingTestCase):
    """Which way is taken."""

    def send(self, content: bytes, rate: int | None = None) -> Deferred[None]:
        """Begin to send a poem with `content`."""
        return send(self.poem(content), self.transport, self.clock, rate)

    def test_poem_is_sent_in_pieces_where_there_is_no_socket(self) -> None:
        self.assertNoResult(self.send(LARGE))
        self.assertIsInstance(self.transport.producer, PieceSender)

    def test_poem_is_sent_slowly_when_there_is_a_rate(self) -> None:
        self.assertNoResult(self.send(b"slow", 10))
        self.assertEqual(b"s", self.transport.value())


class SocketTransport(StringTransport):
    """A transport with a socket; `asked` counts how often it was asked to call back."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__()
        self.asked = 0
        self._end = end

    def getHandle(self) -> socket.socket:
        return self._end

    def fileno(self) -> int:
        return self._end.fileno()

    def startWriting(self) -> None:
        self.asked += 1


class KernelSenderTests(SendingTestCase):
    """The kernel copies the file to a real socket."""

    def setUp(self) -> None:
        super().setUp()
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        for end in (ours, self.peer):
            end.setblocking(False)
        self.transport = SocketTransport(ours)
        self.sender = KernelSender(self.poem(), self.transport)
        self.received = b""

    def read(self) -> int:
        """Take what is there; return how much."""
        try:
            data = self.peer.recv(CHUNK)
        except BlockingIOError:
            return 0
        self.received += data
        return len(data)

    def test_it_is_a_pull_producer(self) -> None:
        self.assertTrue(verifyObject(IPullProducer, self.sender))
        self.sender.begin()
        self.assertEqual((self.sender, False), (self.transport.producer, self.transport.streaming))

    def test_poem_arrives_as_the_peer_reads(self) -> None:
        done = self.sender.begin()
        self.sender.resumeProducing()
        while self.transport.producer is not None:
            self.sender.resumeProducing()
            self.read()
        while self.read():
            pass
        self.successResultOf(done)
        self.assertTrue(self.received == LARGE)

    def test_no_byte_passes_through_the_transport(self) -> None:
        self.sender.begin()
        self.assertEqual(b"", self.transport.value())

    def test_no_more_is_asked_for_than_leaves_others_their_turn(self) -> None:
        asked: list[int] = []
        sendfile = os.sendfile

        def watched(socket: int, file: int, offset: int, count: int) -> int:
            asked.append(count)
            return sendfile(socket, file, offset, count)

        self.patch(os, "sendfile", watched)
        os.truncate(self.path, 3 * CHUNK)
        KernelSender(self.poem(), self.transport).resumeProducing()
        self.assertEqual([CHUNK], asked)

    def test_it_asks_to_be_called_when_there_is_room(self) -> None:
        done = self.sender.begin()
        self.sender.resumeProducing()
        asked = self.transport.asked
        self.sender.resumeProducing()  # the peer has read nothing
        self.assertEqual(asked + 1, self.transport.asked)
        self.assertNoResult(done)

    def test_poem_that_became_shorter_is_an_error(self) -> None:
        done = self.sender.begin()
        os.truncate(self.path, 0)
        while self.read():
            pass
        self.sender.resumeProducing()
        self.assertIn("it became shorter", self.failureResultOf(done, OSError).value.strerror)
        self.assertIsNone(self.transport.producer)

    def test_peer_that_is_gone_is_a_connection_error(self) -> None:
        done = self.sender.begin()
        self.peer.close()
        self.sender.resumeProducing()
        self.failureResultOf(done, ConnectionError)

    def test_transport_that_ends_is_a_lost_connection(self) -> None:
        done = self.sender.begin()
        self.sender.stopProducing()
        self.failureResultOf(done, ConnectionLost)


class PieceSenderTests(SendingTestCase):
    """Piece by piece."""

    def setUp(self) -> None:
        super().setUp()
        self.done: Deferred[None] = PieceSender().beginFileTransfer(self.poem(), self.transport)

    def test_a_piece_is_sent_when_the_transport_asks(self) -> None:
        self.transport.producer.resumeProducing()
        self.assertLessEqual(len(self.transport.value()), PIECE)

    def test_all_pieces_are_the_poem(self) -> None:
        while self.transport.producer is not None:
            self.transport.producer.resumeProducing()
        self.successResultOf(self.done)
        self.assertTrue(self.transport.value() == LARGE)

    def test_poem_that_became_shorter_is_an_error(self) -> None:
        self.transport.producer.resumeProducing()
        os.truncate(self.path, 0)
        self.transport.producer.resumeProducing()
        self.failureResultOf(self.done, OSError)
        self.assertIsNone(self.transport.producer)

    def test_transport_that_ends_is_a_lost_connection(self) -> None:
        self.transport.producer.stopProducing()
        self.failureResultOf(self.done, ConnectionLost)


class SlowSenderTests(SendingTestCase):
    """At a rate."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))

    def begin(self, rate: int, content: bytes | None = None) -> Deferred[None]:
        """Begin to send a poem; a test that does not see its end makes the peer leave."""
        self.sender = SlowSender(self.poem(content), self.transport, self.clock, rate)
        done = self.sender.begin()
        self.addCleanup(done.addErrback, lambda failure: failure.trap(ConnectionLost))
        self.addCleanup(self.leave)
        return done

    def leave(self) -> None:
        """Let the peer leave, if it is there."""
        if self.transport.producer is not None:
            self.sender.stopProducing()

    def test_it_is_a_push_producer(self) -> None:
        self.begin(10)
        self.assertTrue(verifyObject(IPushProducer, self.sender))
        self.assertEqual((self.sender, True), (self.transport.producer, self.transport.streaming))

    def test_pieces_come_at_the_rate(self) -> None:
        self.begin(1000)
        self.clock.pump([0.01] * 105)
        self.assertEqual(LARGE[:1100], self.transport.value())

    def test_end_is_told_with_the_last_piece(self) -> None:
        done = self.begin(10, b"abc")
        self.clock.advance(0.1)
        self.assertNoResult(done)
        self.clock.advance(0.1)
        self.successResultOf(done)
        self.assertEqual((b"abc", None), (self.transport.value(), self.transport.producer))

    def test_empty_poem_ends_at_once(self) -> None:
        self.successResultOf(self.begin(10, b""))

    @given(rate=st.integers(1, 10**6), steps=st.lists(st.floats(0.0001, 0.2), max_size=200))
    def test_no_more_is_sent_than_the_rate_and_one_piece(
        self, rate: int, steps: list[float]
    ) -> None:
        transport: Any = StringTransport()
        clock = Clock()
        poem = PoemFile(self.path)
        done = SlowSender(poem, transport, clock, rate).begin()
        clock.pump(steps)
        self.assertLessEqual(len(transport.value()), rate * sum(steps) + max(rate / PIECES, 1) + 1)
        if transport.producer is not None:
            transport.producer.stopProducing()
            self.failureResultOf(done, ConnectionLost)
        poem.close()

    def test_nothing_is_sent_while_it_is_paused(self) -> None:
        self.begin(1000)
        self.sender.pauseProducing()
        self.sender.pauseProducing()
        self.clock.advance(10)
        self.assertEqual(100, len(self.transport.value()))

    def test_pause_is_not_caught_up_with(self) -> None:
        self.begin(1000)
        self.sender.pauseProducing()
        self.clock.advance(10)
        self.sender.resumeProducing()
        self.sender.resumeProducing()
        self.assertEqual(100, len(self.transport.value()))
        self.clock.advance(0.1)
        self.assertEqual(200, len(self.transport.value()))

    def test_any_rate_will_do(self) -> None:
        self.begin(10**320)
        self.assertEqual(PIECE, len(self.transport.value()))

    def test_poem_that_became_shorter_is_an_error(self) -> None:
        done = self.begin(1000)
        os.truncate(self.path, 100)
        self.clock.advance(0.1)
        self.failureResultOf(done, OSError)
        self.assertIsNone(self.transport.producer)

    def test_poem_that_can_not_be_read_at_all_is_an_error(self) -> None:
        poem = self.poem()
        os.truncate(self.path, 0)
        done = SlowSender(poem, self.transport, self.clock, 10).begin()
        self.failureResultOf(done, OSError)

    def test_transport_that_ends_is_a_lost_connection(self) -> None:
        done = self.begin(1000)
        self.transport.producer = None
        self.sender.stopProducing()
        self.failureResultOf(done, ConnectionLost)
