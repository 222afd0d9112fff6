"""``netdemo send``: its options, its lines and its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactor
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.window import WINDOW_MESSAGES
from netdemo.bridge.routes import MAX_RECORD
from netdemo.cli import send
from netdemo.cli.lines import LineSender
from netdemo.cli.send import SendOptions, read_file
from netdemo.cli.stdio import StandardInput
from netdemo.errors import NetdemoError
from tests.folders import temporary_folder
from tests.test_cli_stdio import pipe

if TYPE_CHECKING:
    from io import FileIO


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def parsed(self, *arguments: str) -> SendOptions:
        """Return the options of a command line."""
        options = SendOptions()
        options.parseOptions(arguments)
        return options

    def test_message_has_what_the_options_say(self) -> None:
        options = self.parsed(
            *("/queue/a", "body", "--header=a=1", "--header", "b=2", "--property=priority=3"),
            *("--property=type=t", "--transient", "--header=a=3"),
        )
        message = options.message(b"body")
        self.assertEqual({"a": "3", "b": "2"}, message.headers)
        self.assertEqual((3, "t", 1), (message.priority, message.type, message.delivery_mode))

    def test_message_is_persistent_and_has_an_id_of_its_own(self) -> None:
        options = self.parsed("/queue/a")
        first, second = options.message(b""), options.message(b"")
        self.assertEqual((2, None), (first.delivery_mode, first.headers))
        self.assertNotEqual(first.message_id, second.message_id)

    def test_message_id_may_be_given(self) -> None:
        options = self.parsed("/queue/a", "--property=message-id=m")
        self.assertEqual("m", options.message(b"").message_id)

    def test_file_with_a_body_is_refused(self) -> None:
        error = self.assertRaises(usage.UsageError, self.parsed, "/queue/a", "b", "--file=c")
        self.assertEqual("--file with BODY: expected one of them", str(error))

    def test_bad_property_is_refused(self) -> None:
        self.assertRaises(usage.UsageError, self.parsed, "/queue/a", "--property=priority=x")

    def test_help_has_an_example(self) -> None:
        self.assertIn("Example: ", str(SendOptions()))


class FileTests(SynchronousTestCase):
    """``--file PATH``"""

    def test_file_is_read_whole(self) -> None:
        path = temporary_folder(self) / "file"
        path.write_bytes(b"a\n\0" * 100_000)
        self.assertEqual(path.read_bytes(), read_file(str(path)))

    def test_pipe_is_read_to_its_end(self) -> None:
        reading, writing = pipe(self)
        writing.write(b"hello")
        writing.close()
        self.assertEqual(b"hello", read_file(f"/dev/fd/{reading.fileno()}"))

    def test_file_that_can_not_be_read_is_told(self) -> None:
        folder = temporary_folder(self)
        for path, reason in ((folder / "none", "No such file"), (folder, "Is a directory")):
            error = self.assertRaises(NetdemoError, read_file, str(path))
            self.assertIn(f"cannot read --file '{path}': {reason}", str(error))

    def test_file_that_is_longer_than_a_message_is_refused(self) -> None:
        self.patch(send, "MAX_BODY", 4096)
        error = self.assertRaises(NetdemoError, read_file, "/dev/zero")
        self.assertEqual("bad --file '/dev/zero': expected at most 4096 bytes", str(error))


class LinesTests(SynchronousTestCase):
    """Each line of standard input."""

    def setUp(self) -> None:
        self.published: list[tuple[bytes, Deferred[None]]] = []
        self.lines = LineSender(self.publish)
        reading, self.stdin = pipe(self)
        self.reactor = MemoryReactor()
        self.source = StandardInput(self.lines, self.reactor, reading.fileno())
        self.sending: Deferred[None] = Deferred.fromCoroutine(self.lines.send(self.source))
        self.addCleanup(self.sending.addErrback, lambda _: None)
        self.addCleanup(self.sending.cancel)

    def publish(self, body: bytes) -> Deferred[None]:
        """Note what is published."""
        done: Deferred[None] = Deferred()
        self.published.append((body, done))
        return done

    def say(self, data: bytes, to: FileIO | None = None) -> None:
        """Write `data` to standard input, and have it read."""
        (to or self.stdin).write(data)
        self.source.doRead()

    def end(self) -> None:
        """End standard input, and have it noticed."""
        self.stdin.close()
        self.source.doRead()

    def confirm(self, count: int) -> None:
        """Confirm the oldest."""
        for _ in range(count):
            self.published.pop(0)[1].callback(None)

    def bodies(self) -> list[bytes]:
        """Return what is not confirmed."""
        return [body for body, _ in self.published]

    def error(self) -> str:
        """Return what it has failed with."""
        return str(self.failureResultOf(self.sending, NetdemoError).value)

    def test_lines_are_published_and_the_last_may_have_no_end(self) -> None:
        self.say(b"a\n\nc\r\nla")
        self.say(b"st")
        self.assertEqual([b"a", b"", b"c"], self.bodies())
        self.end()
        self.assertEqual([b"a", b"", b"c", b"last"], self.bodies())

    def test_it_is_done_when_all_are_confirmed(self) -> None:
        self.say(b"a\nb\n")
        self.end()
        self.confirm(1)
        self.assertNoResult(self.sending)
        self.confirm(1)
        self.successResultOf(self.sending)
        self.assertEqual((2, 2), (self.lines.sent, self.lines.confirmed))

    def test_nothing_is_read_while_the_window_is_full(self) -> None:
        self.say(b"x\n" * (WINDOW_MESSAGES + 500) + b"last")
        self.assertEqual(WINDOW_MESSAGES, len(self.published))
        self.assertEqual([], self.reactor.getReaders())
        self.confirm(100)
        self.assertEqual(WINDOW_MESSAGES, len(self.published))
        self.confirm(450)
        self.assertEqual([self.source], self.reactor.getReaders())
        self.end()
        self.assertEqual(b"last", self.published[-1][0])

    def test_end_that_comes_while_the_window_is_full_waits_for_the_rest(self) -> None:
        self.say(b"x\n" * WINDOW_MESSAGES + b"last")
        self.end()
        self.assertEqual(WINDOW_MESSAGES, len(self.published))
        self.confirm(WINDOW_MESSAGES)
        self.assertEqual([b"last"], self.bodies())
        self.assertNoResult(self.sending)
        self.confirm(1)
        self.successResultOf(self.sending)

    def test_failures_are_counted_and_the_first_is_told(self) -> None:
        self.say(b"a\nb\nc\n")
        self.end()
        for number in range(2):
            self.published[number][1].errback(NetdemoError(f"no {number}"))
        self.published[2][1].callback(None)
        self.assertEqual("2 of 3 messages failed: no 0", self.error())

    def test_line_that_is_too_long_ends_it(self) -> None:
        self.say(b"a\n")
        for _ in range(3):
            self.say(b"x" * (MAX_RECORD // 2))
        self.assertNoResult(self.sending)
        self.confirm(1)
        expected = f"line 2 is too long: expected at most {MAX_RECORD} bytes"
        self.assertEqual(f"1 of 2 messages failed: {expected}", self.error())
        self.assertEqual([], self.reactor.getReaders())

    def test_input_that_can_not_be_read_is_told(self) -> None:
        self.lines.unregisterProducer()
        unreadable = StandardInput(self.lines, self.reactor, self.stdin.fileno())
        sending = Deferred.fromCoroutine(LineSender(self.publish).send(unreadable))
        unreadable.doRead()
        error = self.failureResultOf(sending, NetdemoError).value
        self.assertEqual("cannot read standard input: Bad file descriptor", str(error))

    def test_cancelling_it_ends_the_reading(self) -> None:
        self.say(b"a\n")
        self.sending.cancel()
        self.failureResultOf(self.sending, CancelledError)
        self.assertEqual([], self.reactor.getReaders())
