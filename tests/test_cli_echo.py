"""``netdemo echo``: its options, its streams and its statistics."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.echo import EchoOptions, say, stream
from netdemo.cli.ping import message, ping, summary
from netdemo.cli.stdio import StandardInput, StandardOutput
from netdemo.echo import EchoClient
from netdemo.errors import AddressError, EchoError, NetdemoError
from tests.test_cli_stdio import pipe
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Coroutine


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def parsed(self, *arguments: str) -> EchoOptions:
        """Return the options of a command line."""
        options = EchoOptions()
        options.parseOptions(arguments)
        return options

    def test_default_server_is_the_default_of_twistd_echo(self) -> None:
        self.assertEqual("tcp:127.0.0.1:1234", self.parsed()["connect"])

    def test_message_may_stand_anywhere(self) -> None:
        self.assertEqual("hi", self.parsed("hi", "--connect", "7")["message"])
        self.assertEqual("-hi-", self.parsed("--connect=7", "--", "-hi-")["message"])

    def test_empty_message_is_one(self) -> None:
        self.assertEqual("", self.parsed("")["message"])

    def test_bad_address_is_refused(self) -> None:
        self.assertRaises(AddressError, self.parsed, "--connect=tcp:x")

    def test_number_of_pings_is_one_or_more(self) -> None:
        self.assertEqual(3, self.parsed("--ping=3")["ping"])
        self.assertRaises(usage.UsageError, self.parsed, "--ping=0")

    def test_ping_with_a_message_is_refused(self) -> None:
        self.assertRaisesRegex(
            usage.UsageError, "expected no MESSAGE", self.parsed, "--ping=3", "hi"
        )

    def test_help_has_an_example(self) -> None:
        self.assertIn("Example: ", str(EchoOptions()))


class ConnectionTestCase(SynchronousTestCase):
    """A test with a client in memory, and a reactor for its descriptors."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.client = EchoClient(self.reactor)
        self.wire = Wire(self.client)
        self.client.makeConnection(self.wire)
        self.stdout, writing = pipe(self)
        self.sink = StandardOutput(self.reactor, writing.fileno())

    def written(self) -> bytes:
        """Have what waits written, and return all that was."""
        self.sink.doWrite()
        return self.stdout.read(4096)

    def start(self, running: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Start it, and end it with the test if it still runs."""
        done = Deferred.fromCoroutine(running)
        self.addCleanup(done.addErrback, lambda _: None)
        self.addCleanup(done.cancel)
        return done


class SayTests(ConnectionTestCase):
    """One message."""

    def test_it_is_printed_when_all_of_it_is_back(self) -> None:
        done = self.start(say(self.client, b"\xffhello", self.sink))
        self.client.dataReceived(b"\xffhel")
        self.assertNoResult(done)
        self.client.dataReceived(b"lo")
        self.successResultOf(done)
        self.assertEqual(b"Server said: \xffhello\n", self.written())


class StreamTests(ConnectionTestCase):
    """From one pipe to the server, and from it to another pipe."""

    def setUp(self) -> None:
        super().setUp()
        reading, self.stdin = pipe(self)
        self.source = StandardInput(self.client, self.reactor, reading.fileno())
        self.done = self.start(stream(self.client, self.source, self.sink))

    def send(self, data: bytes) -> None:
        """Write `data` to standard input, and have it read."""
        self.stdin.write(data)
        self.source.doRead()

    def end(self) -> None:
        """End standard input, and have it noticed."""
        self.stdin.close()
        self.source.doRead()

    def test_bytes_go_through_the_server(self) -> None:
        self.send(b"hello")
        self.assertEqual(b"hello", self.wire.value())
        self.client.dataReceived(b"hello")
        self.assertEqual(b"hello", self.written())

    def test_end_of_the_input_half_closes_and_waits_for_what_is_due(self) -> None:
        self.send(b"hello")
        self.end()
        self.assertEqual((True, False), (self.wire.write_ended, self.wire.disconnecting))
        self.client.dataReceived(b"hello")
        self.assertNoResult(self.done)
        self.wire.end()
        self.successResultOf(self.done)
        self.assertEqual(b"hello", self.written())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_more_than_was_sent_is_told_until_the_server_closes(self) -> None:
        self.send(b"hello")
        self.end()
        self.client.dataReceived(b"hello")
        self.client.dataReceived(b"!")
        self.failureResultOf(self.done, EchoError)
        self.assertEqual(b"hello!", self.written())

    def test_input_without_a_byte_is_done(self) -> None:
        self.end()
        self.wire.end()
        self.successResultOf(self.done)

    def test_server_that_closes_early_ends_it(self) -> None:
        self.send(b"hello")
        self.client.dataReceived(b"he")
        self.wire.end()
        self.failureResultOf(self.done, EchoError)
        self.assertEqual(b"he", self.written())
        self.assertEqual([], self.reactor.getReaders())

    def test_what_came_back_is_written_before_a_failure_is_told(self) -> None:
        many = bytes(1024 * 1024)
        self.client.write(many)
        self.client.dataReceived(many)
        self.wire.end()
        self.assertNoResult(self.done)  # the pipe is full
        count = 0
        while self.sink in self.reactor.getWriters():
            count += len(self.stdout.read(len(many)))
            self.sink.doWrite()
        self.failureResultOf(self.done, EchoError)
        self.assertEqual(len(many), count + len(self.stdout.read(len(many))))

    def test_wrong_answer_is_written_too(self) -> None:
        self.send(b"hello")
        self.client.dataReceived(b"help")
        self.assertEqual(b"help", self.written())
        self.failureResultOf(self.done, EchoError)

    def test_closed_pipe_ends_it_quietly(self) -> None:
        self.stdout.close()
        self.send(b"hello")
        self.client.dataReceived(b"hello")
        self.sink.doWrite()
        self.failureResultOf(self.done, SystemExit)
        self.assertFalse(self.wire.connected)

    def test_input_that_cannot_be_read_ends_it(self) -> None:
        self.source.ended.errback(NetdemoError("cannot read standard input: Input/output error"))
        self.failureResultOf(self.done, NetdemoError)

    def test_cancelling_it_ends_the_reading(self) -> None:
        self.send(b"hello")
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        self.assertEqual([], self.reactor.getReaders())


class PingTests(ConnectionTestCase):
    """Round trips, on a clock of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.done = self.start(ping(self.client, "server", 2, self.sink, self.reactor.seconds))

    def lines(self) -> list[str]:
        """Return what was printed."""
        return self.written().decode().splitlines()

    def answer(self, after: float) -> None:
        """Send back what was sent, after some seconds."""
        self.reactor.advance(after)
        answer = self.wire.value()
        self.wire.clear()
        self.client.dataReceived(answer)

    def test_each_round_trip_is_told_and_then_all(self) -> None:
        self.answer(after=0.25)
        self.answer(after=0.75)
        self.successResultOf(self.done)
        self.assertEqual(
            [
                "64 bytes from server: seq=1 time=250.000 ms",
                "64 bytes from server: seq=2 time=750.000 ms",
                "--- server echo statistics ---",
                "2 sent, 2 came back",
                "round trip min/median/p99/max = 250.000/500.000/750.000/750.000 ms",
            ],
            self.lines(),
        )

    def test_next_is_sent_when_the_former_is_back(self) -> None:
        self.assertEqual(message(1), self.wire.value())
        self.answer(after=0)
        self.assertEqual(message(2), self.wire.value())

    def test_statistics_are_told_when_it_fails(self) -> None:
        self.answer(after=0.25)
        self.wire.end()
        self.failureResultOf(self.done, EchoError)
        self.assertEqual("2 sent, 1 came back", self.lines()[2])

    def test_statistics_are_told_when_it_is_interrupted(self) -> None:
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        self.assertEqual(["--- server echo statistics ---", "1 sent, 0 came back"], self.lines())

    def test_it_can_be_interrupted_while_nobody_reads(self) -> None:
        self.sink.write(bytes(1024 * 1024))  # more than a pipe takes
        self.answer(after=0.25)
        self.assertNoResult(self.done)
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)

    def test_address_of_any_bytes_is_printed_as_it_is(self) -> None:
        done = self.start(ping(self.client, "unix:\udcff", 1, self.sink))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(self.written().startswith(b"--- unix:\xff echo statistics ---\n"))

    def test_messages_differ_and_have_64_bytes(self) -> None:
        self.assertEqual({64}, {len(message(number)) for number in (1, 99, 1_000_000)})
        self.assertTrue(message(12).startswith(b"12 ...") and message(12).endswith(b".\n"))


class SummaryTests(SynchronousTestCase):
    """The statistics."""

    def figures(self, *milliseconds: float) -> list[float]:
        """Return min, median, p99 and max, in milliseconds."""
        text = summary(len(milliseconds), array("d", [each / 1000 for each in milliseconds]))
        return [float(each) for each in text.split(" = ")[1].removesuffix(" ms\n").split("/")]

    def test_one_is_all_of_them(self) -> None:
        self.assertEqual([5, 5, 5, 5], self.figures(5))

    def test_median_of_an_even_number_is_between_two(self) -> None:
        self.assertEqual(2.5, self.figures(4, 1, 3, 2)[1])

    def test_p99_of_fewer_than_100_is_the_longest(self) -> None:
        self.assertEqual(99, self.figures(*range(1, 100))[2])

    def test_p99_is_the_nearest_rank(self) -> None:
        self.assertEqual([1, 50.5, 99, 100], self.figures(*range(1, 101)))
        self.assertEqual(100, self.figures(*range(1, 102))[2])

    def test_without_any_there_are_no_figures(self) -> None:
        empty: Any = array("d")
        self.assertEqual("1 sent, 0 came back\n", summary(1, empty))
