"""The echo client."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.echo import EchoClient
from netdemo.echo.client import PATIENCE, WINDOW
from netdemo.errors import EchoError
from tests.wire import Wire

MIB = 1024 * 1024


def connected_client(clock: Clock) -> tuple[EchoClient, Wire]:
    """Return a client and the transport under it."""
    client = EchoClient(clock)
    wire = Wire(client)
    client.makeConnection(wire)
    return client, wire


class ClientTestCase(SynchronousTestCase):
    """A test with one connection in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client, self.wire = connected_client(self.clock)

    def failed(self, waiting: Deferred[None]) -> str:
        """Return the words of the error with which `waiting` has failed."""
        return str(self.failureResultOf(waiting, EchoError).value)


class WhenBackTests(ClientTestCase):
    """Everything that was sent comes back."""

    def test_nothing_is_sent_unasked(self) -> None:
        self.assertEqual(b"", self.wire.value())

    def test_what_is_written_is_sent(self) -> None:
        self.client.write(b"\x00\xff\r\n")
        self.assertEqual(b"\x00\xff\r\n", self.wire.value())

    def test_nothing_sent_is_all_back(self) -> None:
        self.successResultOf(self.client.when_back())

    def test_it_waits_for_the_last_byte(self) -> None:
        self.client.write(b"hello")
        back = self.client.when_back()
        self.client.dataReceived(b"hell")
        self.assertNoResult(back)
        self.client.dataReceived(b"o")
        self.successResultOf(back)

    def test_what_is_written_meanwhile_is_waited_for(self) -> None:
        self.client.write(b"a")
        back = self.client.when_back()
        self.client.write(b"b")
        self.client.dataReceived(b"a")
        self.assertNoResult(back)

    def test_bytes_are_counted(self) -> None:
        self.client.write(b"hello")
        self.client.dataReceived(b"he")
        self.assertEqual((5, 2), (self.client.sent, self.client.back))

    def test_every_chunk_is_handed_over(self) -> None:
        chunks: list[bytes] = []
        self.client.received = chunks.append
        self.client.write(b"hello")
        self.client.dataReceived(b"he")
        self.client.dataReceived(b"llo")
        self.assertEqual([b"he", b"llo"], chunks)

    def test_one_who_is_handed_a_chunk_may_abort(self) -> None:
        self.client.received = lambda _: self.client.abort()
        self.client.write(b"hello")
        self.client.dataReceived(b"he")
        self.assertFalse(self.wire.connected)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_one_who_waits_can_leave(self) -> None:
        self.client.write(b"a")
        back = self.client.when_back()
        back.cancel()
        self.client.dataReceived(b"a")
        self.failureResultOf(back, CancelledError)


class WrongAnswerTests(ClientTestCase):
    """What comes back is not what was sent."""

    def setUp(self) -> None:
        super().setUp()
        self.client.write(b"hello")
        self.back = self.client.when_back()

    def test_first_wrong_byte_ends_the_connection(self) -> None:
        self.client.dataReceived(b"help")
        self.assertFalse(self.wire.connected)
        self.assertEqual(
            "different answer after 3 right bytes: expected b'lo', received b'p'",
            self.failed(self.back),
        )

    def test_right_bytes_before_it_are_counted(self) -> None:
        self.client.dataReceived(b"he")
        self.client.dataReceived(b"lp")
        self.assertEqual(3, self.client.back)
        self.assertIn("after 3 right bytes", self.failed(self.back))

    def test_more_than_was_sent_is_told(self) -> None:
        self.client.dataReceived(b"hello!")
        self.assertEqual("more came back than was sent: b'!'", self.failed(self.back))

    def test_anything_unasked_is_more_than_was_sent(self) -> None:
        self.client.dataReceived(b"hello")
        self.client.dataReceived(b"220 ready")
        self.assertEqual(
            "more came back than was sent: b'220 ready'", self.failed(self.client.when_back())
        )
        self.successResultOf(self.back)

    def test_error_is_short(self) -> None:
        self.client.write(b"\xff" * MIB)
        self.client.dataReceived(b"hello" + b"\x00" * MIB)
        self.assertLess(len(self.failed(self.back)), 250)

    def test_wrong_bytes_are_handed_over_too(self) -> None:
        chunks: list[bytes] = []
        self.client.received = chunks.append
        self.client.dataReceived(b"help")
        self.failed(self.back)
        self.assertEqual([b"help"], chunks)

    def test_one_who_comes_later_is_told_too(self) -> None:
        self.client.dataReceived(b"x")
        self.failed(self.back)
        self.assertIn("different answer", self.failed(self.client.when_back()))
        self.assertIn("different answer", self.failed(self.client.when_ended()))
        self.assertIn("different answer", self.failed(self.client.close()))

    def test_what_follows_is_ignored(self) -> None:
        self.client.dataReceived(b"x")
        self.failed(self.back)
        self.client.dataReceived(b"hello")
        self.assertEqual(0, self.client.back)


class SilenceTests(ClientTestCase):
    """The server does not answer."""

    def test_silence_is_told_and_ends_the_connection(self) -> None:
        self.client.write(b"hello")
        back = self.client.when_back()
        self.clock.advance(PATIENCE)
        self.assertFalse(self.wire.connected)
        self.assertEqual("no answer for 30 seconds: 0 of 5 bytes came back", self.failed(back))

    def test_answer_that_arrived_while_this_process_was_stopped_is_read(self) -> None:
        self.client.write(b"hello")
        back = self.client.when_back()
        # As on a reactor that runs again: what is due is called first, and then sockets are read.
        self.clock.callLater(PATIENCE, self.client.dataReceived, b"hello")
        self.clock.advance(PATIENCE)
        self.successResultOf(back)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_end_that_came_while_this_process_was_stopped_is_seen(self) -> None:
        self.client.write(b"hello")
        back = self.client.when_back()
        self.clock.callLater(PATIENCE, self.wire.end)
        self.clock.advance(PATIENCE)
        self.assertIn("closed early", self.failed(back))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_answer_gives_the_server_its_time_again(self) -> None:
        self.client.write(b"hello")
        self.clock.advance(PATIENCE - 1)
        self.client.dataReceived(b"h")
        self.clock.advance(PATIENCE - 1)
        self.assertTrue(self.wire.connected)

    def test_another_write_does_not(self) -> None:
        self.client.write(b"hello")
        self.clock.advance(PATIENCE - 1)
        self.client.write(b"hello")
        self.clock.advance(1)
        self.assertFalse(self.wire.connected)

    def test_server_that_owes_nothing_may_be_silent(self) -> None:
        self.client.write(b"hello")
        self.client.dataReceived(b"hello")
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_server_that_is_not_read_may_be_silent(self) -> None:
        self.client.pauseProducing()
        self.client.write(b"hello")
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_its_time_begins_when_it_is_read_again(self) -> None:
        self.client.write(b"hello")
        self.client.pauseProducing()
        self.clock.advance(2 * PATIENCE)
        self.client.resumeProducing()
        self.clock.advance(PATIENCE - 1)
        self.assertTrue(self.wire.connected)
        self.clock.advance(1)
        self.assertFalse(self.wire.connected)


class ProducerTests(ClientTestCase):
    """Back-pressure: what is under way is bounded, on both sides of the client."""

    def setUp(self) -> None:
        super().setUp()
        self.source = StringTransport()  # of which the producer's side is used
        self.client.registerProducer(self.source, True)

    def test_it_is_a_consumer_and_a_push_producer(self) -> None:
        self.assertTrue(verifyObject(IConsumer, self.client))
        self.assertTrue(verifyObject(IPushProducer, self.client))

    def test_producer_is_paused_when_the_window_is_full(self) -> None:
        self.client.write(bytes(WINDOW - 1))
        self.assertEqual("producing", self.source.producerState)
        self.client.write(b"\0")
        self.assertEqual("paused", self.source.producerState)

    def test_producer_is_resumed_when_half_of_it_is_back(self) -> None:
        self.client.write(bytes(WINDOW))
        self.client.dataReceived(bytes(WINDOW // 2 - 1))
        self.assertEqual("paused", self.source.producerState)
        self.client.dataReceived(b"\0")
        self.assertEqual("producing", self.source.producerState)

    def test_producer_that_has_left_is_not_resumed(self) -> None:
        self.client.write(bytes(WINDOW))
        self.client.unregisterProducer()
        self.client.dataReceived(bytes(WINDOW))
        self.assertEqual("paused", self.source.producerState)

    def test_producer_is_stopped_with_the_connection(self) -> None:
        self.wire.end()
        self.assertEqual("stopped", self.source.producerState)

    def test_second_producer_and_one_that_is_pulled_are_refused(self) -> None:
        self.assertRaises(RuntimeError, self.client.registerProducer, StringTransport(), True)
        self.client.unregisterProducer()
        self.assertRaises(RuntimeError, self.client.registerProducer, StringTransport(), False)

    def test_server_is_not_read_while_the_echo_is_not_taken(self) -> None:
        self.client.pauseProducing()
        self.assertEqual("paused", self.wire.producerState)
        self.client.resumeProducing()
        self.assertEqual("producing", self.wire.producerState)

    def test_closed_client_is_not_paused_and_resumed(self) -> None:
        self.client.unregisterProducer()
        for end in (self.client.close, self.wire.end):
            end()
            self.client.pauseProducing()
            self.client.resumeProducing()
            self.assertEqual("producing", self.wire.producerState)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nobody_who_takes_the_echo_ends_the_connection(self) -> None:
        self.client.stopProducing()
        self.assertFalse(self.wire.connected)


class ChunkTests(SynchronousTestCase):
    """However the network cuts the echo, the result is the same."""

    def fed(self, message: bytes, answer: bytes, cuts: list[int]) -> EchoClient:
        """Return a client that sent `message` and was given `answer`, cut at `cuts`."""
        client, _ = connected_client(Clock())
        client.write(message)
        places = sorted({0, *(cut % (len(answer) + 1) for cut in cuts), len(answer)})
        for begin, end in pairwise(places):
            client.dataReceived(answer[begin:end])
        return client

    @given(st.binary(), st.lists(st.integers(0, 200)))
    def test_right_answer_is_right(self, message: bytes, cuts: list[int]) -> None:
        client = self.fed(message, message, cuts)
        self.successResultOf(client.when_back())
        self.assertEqual(len(message), client.back)
        client.abort()

    @given(st.binary(), st.binary(min_size=1), st.lists(st.integers(0, 200)))
    def test_wrong_answer_is_wrong_at_its_first_wrong_byte(
        self, message: bytes, wrong: bytes, cuts: list[int]
    ) -> None:
        right = len(message) // 2
        if message[right : right + 1] == wrong[:1]:
            wrong = bytes([wrong[0] ^ 1])
        client = self.fed(message, message[:right] + wrong, cuts)
        self.failureResultOf(client.when_back(), EchoError)
        self.assertEqual(right, client.back)
