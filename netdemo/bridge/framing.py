"""How records stand on a TCP connection, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.protocols.basic import LineReceiver

from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from collections.abc import Callable


class FramingError(NetdemoError, ValueError):
    """A record can't be written in a framing without altering it."""


class LineFraming(LineReceiver):
    """Records are lines: LF or CRLF in, LF out.

    `received` is called with each record, `too_long` once for one of more than `max_record`
    bytes; what follows that one is lost.
    """

    delimiter = b"\n"

    def __init__(
        self, received: Callable[[bytes], None], too_long: Callable[[], None], max_record: int
    ) -> None:
        self._received = received
        self._too_long = too_long
        self._max_record = max_record
        self.MAX_LENGTH = max_record + len(b"\r")

    def lineReceived(self, line: bytes) -> None:
        record = line.removesuffix(b"\r")
        if len(record) > self._max_record:
            self.lineLengthExceeded(line)
        else:
            self._received(record)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002
        self.clearLineBuffer()
        self._too_long()

    def finish(self) -> None:
        """Take what has come since the last delimiter as a record too, if anything has."""
        rest = self.clearLineBuffer()
        if rest:
            self.lineReceived(rest)

    @staticmethod
    def encode(record: bytes) -> bytes:
        """Return `record` as it goes over the wire.

        :raises FramingError: when it holds a newline.
        """
        if b"\n" in record:
            raise FramingError("a newline inside a record can't be sent as one line")
        return record + b"\n"
