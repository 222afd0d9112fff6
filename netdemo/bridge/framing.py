"""How records stand on a TCP connection, one after another: three framings, on Twisted's parsers.

==========  ======================================================================
framing     a record is
==========  ======================================================================
line        ended by LF or CRLF, and sent with LF; the last may come without
netstring   its length in digits, a colon, its bytes and a comma
int32       its length in four bytes, the highest first, and its bytes
==========  ======================================================================
"""

from __future__ import annotations

from re import compile as compile_pattern
from re import match as match_pattern
from struct import pack, unpack_from
from typing import TYPE_CHECKING, ClassVar, Final

from twisted.protocols.basic import Int32StringReceiver, LineOnlyReceiver, NetstringReceiver

from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from collections.abc import Callable

    Received = Callable[[bytes], None]
    Refused = Callable[["RecordRefused"], None]

MAX_INT32: Final = 0xFFFFFFFF
"""Bytes of a record for whose length four bytes are enough."""


class FramingError(NetdemoError, ValueError):
    """A record can't be written in a framing without altering it."""


class RecordRefused(NetdemoError):
    """What arrived is no record that is taken; `code` is a word for it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Open:
    """What Twisted's parsers ask of a transport."""

    disconnecting = False


class Framing:
    """What the three parsers share: `taken` gets each record, `refused` the end of them."""

    name: ClassVar[str]

    def __init__(self, taken: Received, refused: Refused, max_record: int) -> None:
        self.taken = taken
        self.refused = refused
        self.max_record = max_record
        self.makeConnection(_Open())  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        """Take ``data`` apart."""
        raise NotImplementedError

    def rest(self) -> bytes:
        """Return some of what came after the end of the last record, nothing if nothing did."""
        raise NotImplementedError

    def finish(self) -> None:
        """Take the last record if it may come without its end."""

    @staticmethod
    def encode(record: bytes) -> bytes:
        """Return ``record`` as it goes over the wire.

        :raises FramingError: when it can't.
        """
        raise NotImplementedError

    def _too_long(self) -> None:
        self.refused(
            RecordRefused("too-long", f"a record has at most {self.max_record} bytes here")
        )


class LineFraming(LineOnlyReceiver, Framing):
    """Lines."""

    name = "line"
    delimiter = b"\n"
    _begun: bytearray | None = None
    """What has come of a line since it was looked through: Twisted copies it for each piece."""

    def __init__(self, taken: Received, refused: Refused, max_record: int) -> None:
        super().__init__(taken, refused, max_record)
        self.MAX_LENGTH = max_record + len(b"\r")

    def dataReceived(self, data: bytes) -> None:
        begun = self._begun
        if self.delimiter not in data:
            if begun is None:
                begun = self._begun = bytearray()
            begun += data
            if len(self._buffer) + len(begun) <= self.MAX_LENGTH:
                return
            data = b""
        if begun is not None:
            self._begun = None
            data = bytes(begun) + data
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if line.endswith(b"\r"):
            line = line[:-1]
        if len(line) > self.max_record:
            self._too_long()
        else:
            self.taken(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002
        self._too_long()

    def rest(self) -> bytes:
        return self._buffer or bytes(self._begun or b"")

    def finish(self) -> None:
        last = self._buffer + (self._begun or b"")
        self._buffer, self._begun = b"", None
        if last:
            self.lineReceived(last)

    @staticmethod
    def encode(record: bytes) -> bytes:
        if b"\n" in record:
            raise FramingError("a newline inside a record can't be sent as one line")
        return record + b"\n"


class NetstringFraming(NetstringReceiver, Framing):
    """Netstrings (https://cr.yp.to/proto/netstrings.txt)."""

    name = "netstring"
    _LENGTH_PREFIX = compile_pattern(rb"(0|[1-9]\d*)\Z")  # Twisted's takes a newline after it

    def __init__(self, taken: Received, refused: Refused, max_record: int) -> None:
        super().__init__(taken, refused, max_record)
        self.MAX_LENGTH = max_record

    def stringReceived(self, string: bytes) -> None:
        self._payload.seek(0)
        self._payload.truncate()  # else an idle client keeps its last record here
        self.taken(string)

    def _handleParseError(self) -> None:
        if self._state == self._PARSING_LENGTH and self._exceeds_limit(self._remainingData):
            self._too_long()
        else:
            self.refused(RecordRefused("malformed", "expected a netstring: 5:hello,"))

    def _exceeds_limit(self, length: bytes) -> bool:
        """Tell whether ``length`` begins with too high a number, whatever may follow it."""
        number = match_pattern(rb"[1-9]\d*", length)
        limit = b"%d" % self.max_record
        return number is not None and (len(number[0]), number[0]) > (len(limit), limit)

    def rest(self) -> bytes:
        if self._state == self._PARSING_PAYLOAD:
            return b":"
        return self._remainingData

    @staticmethod
    def encode(record: bytes) -> bytes:
        return b"%d:%s," % (len(record), record)


class Int32Framing(Int32StringReceiver, Framing):
    """Records after their lengths."""

    name = "int32"
    _begun: bytearray | None = None
    """What has come of a record since it was looked at, `_awaited` bytes of which are its rest."""
    _awaited = 0

    def __init__(self, taken: Received, refused: Refused, max_record: int) -> None:
        super().__init__(taken, refused, max_record)
        self.MAX_LENGTH = max_record

    def dataReceived(self, data: bytes) -> None:
        if self._awaited:
            if self._begun is None:
                self._begun = bytearray()
            self._begun += data
            if len(self._begun) < self._awaited:
                return
            data, self._begun = bytes(self._begun), None
        super().dataReceived(data)
        left = self._unprocessed
        self._awaited = 0
        if len(left) >= self.prefixLength:
            self._awaited = self.prefixLength + unpack_from("!I", left)[0] - len(left)

    def stringReceived(self, string: bytes) -> None:
        self.taken(string)

    def lengthLimitExceeded(self, length: int) -> None:  # noqa: ARG002
        self._too_long()

    def rest(self) -> bytes:
        return self._unprocessed

    @staticmethod
    def encode(record: bytes) -> bytes:
        if len(record) > MAX_INT32:
            raise FramingError(f"{len(record)} bytes are too many for a length of 32 bits")
        return pack("!I", len(record)) + record


FRAMINGS: Final[dict[str, type[Framing]]] = {
    framing.name: framing for framing in (LineFraming, NetstringFraming, Int32Framing)
}
"""The framings by the names that people give them."""
