"""What ``netdemo poetry`` tells on standard error."""

from __future__ import annotations

import errno
import os
from io import StringIO
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.progress import REFRESH, Bars
from tests.test_cli_stdio import pipe


class Terminal(StringIO):
    """A stream that says that it is a terminal, and has room when `descriptor` has."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return True


class Gone(Terminal):
    """A terminal that has gone, at once or when `error` is set."""

    def __init__(self, descriptor: int, error: Exception | None = None) -> None:
        super().__init__(descriptor)
        self.error = error

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


class BarsTests(SynchronousTestCase):
    """Bars on a terminal, and nothing elsewhere."""

    def setUp(self) -> None:
        self.clock = Clock()
        _, self.writing = pipe(self)
        environment = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        patched = mock.patch.dict(os.environ, environment)
        patched.start()
        self.addCleanup(patched.stop)
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))

    def test_nothing_is_shown_where_there_is_no_terminal(self) -> None:
        stream = StringIO()
        with Bars(stream, self.clock) as bars:
            bar = bars.add("9000", lambda: 5)
            self.clock.advance(REFRESH)
            with bars.hidden():
                bars.end_line()
            bars.done(bar)
        self.assertEqual(stream.getvalue(), "")

    def test_nothing_is_shown_where_there_is_no_standard_error(self) -> None:
        with mock.patch("sys.stderr", None), Bars(None, self.clock) as bars:
            bars.print("lost")

    def test_lines_are_printed_as_they_are(self) -> None:
        stream = StringIO()
        line = "netdemo poetry: [::1]:9000 [bold]:smile: " + "long " * 50
        with Bars(stream, self.clock) as bars:
            bars.print(line)
        self.assertEqual(stream.getvalue(), line + "\n")

    def test_lines_that_cannot_be_written_are_lost(self) -> None:
        for error in (OSError(errno.ENOSPC, "No space left"), ValueError("closed file")):
            stream = StringIO()
            stream.write = mock.Mock(side_effect=error)  # type: ignore[method-assign]
            with Bars(stream, self.clock) as bars:
                bars.print("lost")

    def test_terminal_that_goes_is_drawn_on_no_more(self) -> None:
        for error in (OSError(errno.EIO, "Input/output error"), BrokenPipeError()):
            stream = Gone(self.writing.fileno())
            with Bars(stream, self.clock) as bars:
                bar = bars.add("9000", lambda: 4000)
                stream.error = error
                self.clock.advance(REFRESH)
                bars.print("lost")
                stream.error, before = None, stream.getvalue()
                with bars.hidden():
                    bars.end_line()
                bars.failed(bar)
            self.assertEqual(stream.getvalue(), before)

    def test_terminal_that_is_gone_from_the_start_is_not_drawn_on(self) -> None:
        gone = Gone(self.writing.fileno(), OSError(errno.EIO, "Input/output error"))
        with Bars(gone, self.clock) as bars:
            bars.print("lost")

    def test_line_that_is_printed_while_bars_are_hidden_leaves_them_hidden(self) -> None:
        stream = Terminal(self.writing.fileno())
        with Bars(stream, self.clock) as bars:
            bars.add("9000", lambda: 4000)
            with bars.hidden():
                before = stream.getvalue()
                bars.print("down")
                self.assertEqual(stream.getvalue(), before + "down\n")

    def test_bytes_are_shown_as_they_come(self) -> None:
        stream, received = Terminal(self.writing.fileno()), [0]
        with Bars(stream, self.clock) as bars:
            bar = bars.add("[::1]:9000", lambda: received[0])
            received[0] = 4000
            self.clock.advance(REFRESH)
            self.assertIn("[::1]:9000", stream.getvalue())
            self.assertIn("4.0 kB", stream.getvalue())
            received[0] = 5000
            bars.done(bar)
        self.assertIn("5.0 kB", stream.getvalue())
        self.assertIn("done", stream.getvalue())

    def test_terminal_that_is_stopped_is_not_drawn_on(self) -> None:
        stream = Terminal(self.writing.fileno())
        with Bars(stream, self.clock):
            before = stream.getvalue()
            os.set_blocking(self.writing.fileno(), False)
            while self.writing.write(bytes(65536)):  # None when it is full
                pass
            self.clock.advance(REFRESH)
            self.assertEqual(stream.getvalue(), before)

    def test_failure_is_shown_with_the_bytes_that_came(self) -> None:
        stream = Terminal(self.writing.fileno())
        with Bars(stream, self.clock) as bars:
            bars.failed(bars.add("9000", lambda: 4000))
        self.assertRegex(stream.getvalue(), r"4\.0 kB.*failed")

    def test_hidden_bars_are_not_drawn_and_come_back(self) -> None:
        stream = Terminal(self.writing.fileno())
        with Bars(stream, self.clock) as bars:
            bars.add("9000", lambda: 4000)
            with bars.hidden():
                before = stream.getvalue()
                self.clock.advance(REFRESH)
                self.assertEqual(stream.getvalue(), before)
            self.clock.advance(REFRESH)
            self.assertIn("9000", stream.getvalue()[len(before) :])
