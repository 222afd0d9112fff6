"""Each line that is read is a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from zope.interface import implementer

from netdemo.amqp.window import Window
from netdemo.bridge.framing import LineFraming
from netdemo.bridge.records import Records
from netdemo.bridge.routes import MAX_RECORD
from netdemo.errors import NetdemoError
from netdemo.pausing import PausingConsumer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from netdemo.bridge.framing import RecordRefused
    from netdemo.cli.stdio import StandardInput


@implementer(IConsumer)
class LineSender(PausingConsumer):
    """Publishes each line that is written to it, and pauses its producer while its window is full.

    `sent` counts the lines, `confirmed` those that the broker has.
    """

    def __init__(self, publish: Callable[[bytes], Deferred[None]]) -> None:
        self.sent = self.confirmed = 0
        self._publish = publish
        self._lines = Records(LineFraming, self._send, self._too_long, MAX_RECORD)
        self._window = Window()
        self._failed = 0
        self._first_failure = ""
        self._done: Deferred[None] = Deferred()
        self._ended = False

    async def send(self, source: StandardInput) -> None:
        """Publish what ``source`` reads, and return when every line is confirmed.

        :raises NetdemoError: when one was not, or is longer than 64 KiB, or all can't be read.
        """
        source.ended.addCallbacks(lambda _: self._end(), self._unreadable)
        try:
            await self._done
        finally:
            source.ended.cancel()
        await self._window.when_empty()
        if self._failed:
            raise NetdemoError(
                f"{self._failed} of {self.sent} messages failed: {self._first_failure}"
            )

    def write(self, data: bytes) -> None:
        """Publish the lines in ``data``; the last may go on in the next."""
        self._lines.data_received(data)

    def _send(self, line: bytes) -> None:
        self.sent += 1
        self._window.take(len(line))
        sending = self._publish(line)
        sending.addCallbacks(self._confirmed, self._refused)
        sending.addCallback(lambda _: self._window.give_back(len(line)))
        if self._window.full:
            self._lines.paused = True
            self._pause_producer()
            self._window.when_room().addCallback(lambda _: self._go_on())

    def _confirmed(self, _: None) -> None:
        self.confirmed += 1

    def _refused(self, failure: Failure) -> None:
        self._fail(failure.getErrorMessage())

    def _fail(self, text: str) -> None:
        self._failed += 1
        self._first_failure = self._first_failure or text

    def _go_on(self) -> None:
        self._lines.resume()
        if self._lines.paused:  # the window is full again
            return
        self._resume_producer()
        self._look_whether_done()

    def _end(self) -> None:
        self._ended = True
        self._look_whether_done()

    def _look_whether_done(self) -> None:
        if self._ended and not self._lines.paused and not self._done.called:
            self._lines.finish()
            self._done.callback(None)

    def _unreadable(self, failure: Failure) -> None:
        if not self._done.called:
            self._done.errback(failure)

    def _too_long(self, _: RecordRefused) -> None:
        self.sent += 1
        self._fail(f"line {self.sent} is too long: expected at most {MAX_RECORD} bytes")
        self._done.callback(None)
