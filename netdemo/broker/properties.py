"""Content headers taken apart and put together again, each property as the bytes it came in.

The broker passes on what it does not need to know, so nothing is decoded but what is asked for,
and what is changed leaves the rest as it was (AMQP 0-9-1, section 4.2.6.1).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from netdemo.broker.tables import read_value
from netdemo.errors import SyntaxRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BASIC: Final = 60
"""The class of all contents."""

HEADERS: Final = 1 << 13
DELIVERY_MODE: Final = 1 << 12
PRIORITY: Final = 1 << 11
REPLY_TO: Final = 1 << 9
EXPIRATION: Final = 1 << 8
USER_ID: Final = 1 << 4
_CONTENT_TYPE: Final = 1 << 15
_CONTENT_ENCODING: Final = 1 << 14
_MORE_FLAGS: Final = 1

START: Final = struct.Struct(">HHQH")
"""Class, weight, size of the body, flags."""

_FLAGS_KEPT: Final = 256
"""Combinations of properties that are kept, so that not all are looked at for each message."""

_LONG: Final = struct.Struct(">I")


def _short_string_end(payload: bytes, start: int) -> int:
    return start + 1 + payload[start]


def _table_end(payload: bytes, start: int) -> int:
    return start + _LONG.size + int(_LONG.unpack_from(payload, start)[0])


def _octet_end(_: bytes, start: int) -> int:
    return start + 1


def _timestamp_end(_: bytes, start: int) -> int:
    return start + 8


_PROPERTIES: Final[tuple[tuple[int, str, Callable[[bytes, int], int]], ...]] = (
    (_CONTENT_TYPE, "content_type", _short_string_end),
    (_CONTENT_ENCODING, "content_encoding", _short_string_end),
    (HEADERS, "headers", _table_end),
    (DELIVERY_MODE, "delivery_mode", _octet_end),
    (PRIORITY, "priority", _octet_end),
    (1 << 10, "correlation_id", _short_string_end),
    (REPLY_TO, "reply_to", _short_string_end),
    (EXPIRATION, "expiration", _short_string_end),
    (1 << 7, "message_id", _short_string_end),
    (1 << 6, "timestamp", _timestamp_end),
    (1 << 5, "type", _short_string_end),
    (USER_ID, "user_id", _short_string_end),
    (1 << 3, "app_id", _short_string_end),
    (1 << 2, "cluster_id", _short_string_end),
)
"""Flag, name, and where one ends that starts somewhere, in the order in which they stand."""


@lru_cache(maxsize=_FLAGS_KEPT)
def _present(flags: int) -> tuple[tuple[str, Callable[[bytes, int], int]], ...]:
    """Return name and end of each property that is there: a publisher's are mostly the same."""
    return tuple((name, end_of) for flag, name, end_of in _PROPERTIES if flags & flag)


def split_header(payload: bytes) -> dict[str, bytes]:
    """Return the properties that are there, by name, each encoded as it came.

    :raises SyntaxRefused: for what is no content header of the class basic.
    """
    try:
        class_id, _, _, flags = START.unpack_from(payload)
        if class_id != BASIC or flags & 0b11:
            raise SyntaxRefused(f"no content header of the class basic: {payload[:14]!r}")
        values = {}
        start = START.size
        for name, end_of in _present(flags):
            end = end_of(payload, start)
            values[name] = payload[start:end]
            start = end
    except (IndexError, struct.error) as error:
        raise SyntaxRefused(f"a content header that can't be decoded: {error}") from error
    if start != len(payload):
        raise SyntaxRefused("a content header that does not end with its last property")
    return values


def join_header(values: Mapping[str, bytes], body_size: int) -> bytes:
    """Return the payload of a content header with these properties."""
    flags = sum(flag for flag, name, _ in _PROPERTIES if name in values)
    properties = [values[name] for _, name, _ in _PROPERTIES if name in values]
    return START.pack(BASIC, 0, body_size, flags) + b"".join(properties)


def short_string(value: bytes) -> bytes:
    """Return the text of an encoded short string."""
    return value[1:]


def encode_short_string(text: bytes) -> bytes:
    """Encode a short string of at most 255 bytes."""
    return b"%c%b" % (len(text), text)


def split_table(table: bytes) -> dict[bytes, bytes]:
    """Return the entries of an encoded table, each value with its type, encoded as it came.

    :raises SyntaxRefused: for what is no table.
    """
    entries = {}
    try:
        start, end = _LONG.size, _table_end(table, 0)
        while start < end:
            value = _short_string_end(table, start)
            name = table[start + 1 : value]
            _, start = read_value(table, value)
            entries[name] = table[value:start]
    except (IndexError, struct.error) as error:
        raise SyntaxRefused(f"a table that can't be decoded: {error!r}") from error
    if start != end or end != len(table):
        raise SyntaxRefused("a table that does not end with its last value")
    return entries


def join_table(entries: Mapping[bytes, bytes]) -> bytes:
    """Encode a table of values that are encoded with their types."""
    pieces = [encode_short_string(name) + value for name, value in entries.items()]
    encoded = b"".join(pieces)
    return _LONG.pack(len(encoded)) + encoded
