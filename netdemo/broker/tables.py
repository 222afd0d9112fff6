"""Tables as RabbitMQ reads them: the types of their values are kept, and shown as Erlang does.

pika's codec makes whole numbers of fractions, forgets how wide an integer is and refuses dates
that Python has no value for, so a broker can neither compare by it nor say what it was sent.
(AMQP 0-9-1, section 4.2.5.5, with the types as in RabbitMQ's errata.)
"""

from __future__ import annotations

import struct
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pika.compat import long

from netdemo.errors import SyntaxRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

_Content: TypeAlias = "Callable[[bytes, int, int, int], Any]"

Field: TypeAlias = "tuple[str, Hashable]"
"""RabbitMQ's name of a type, and the term that a value of it is compared by.

Texts are bytes in it, whatever their type, numbers are numbers, and a ``str`` is an atom of Erlang.
"""

VOID: Final[Field] = ("void", "undefined")
"""A value that is none."""

INTEGERS: Final = frozenset(
    ("byte", "unsignedbyte", "short", "unsignedshort", "signedint", "unsignedint", "long")
)
"""The types of integers, of all widths."""

_INT_MIN: Final = -(1 << 31)
_INT_MAX: Final = (1 << 31) - 1
_UNSIGNED: Final = 0xFFFF_FFFF
_LENGTH: Final = struct.Struct(">I")


MAX_DEPTH: Final = 100
"""Tables and arrays within each other: what walks through them does so by calling itself."""


class Integer(int):
    """A number of another type than RabbitMQ's "signedint"; a timestamp is one too."""

    kind: str

    def __new__(cls, value: int, kind: str) -> Integer:
        """Return a number with the name of its type."""
        number = super().__new__(cls, value)
        number.kind = kind
        return number


class Float(float):
    """A number that came in 32 bits."""


def _integer(code: str, kind: str) -> tuple[struct.Struct, Callable[..., Any]]:
    return struct.Struct(f">{code}"), partial(Integer, kind=kind)


def _decimal(places: int, digits: int) -> Decimal:
    return Decimal(digits).scaleb(-places)


_FIXED: Final[dict[int, tuple[struct.Struct, Callable[..., Any]]]] = {
    ord("t"): (struct.Struct(">?"), bool),
    ord("b"): _integer("b", "byte"),
    ord("B"): _integer("B", "unsignedbyte"),
    ord("s"): _integer("h", "short"),
    ord("u"): _integer("H", "unsignedshort"),
    ord("I"): (struct.Struct(">i"), int),
    ord("i"): _integer("I", "unsignedint"),
    ord("l"): _integer("q", "long"),
    ord("L"): _integer("q", "long"),
    ord("T"): _integer("Q", "timestamp"),
    ord("f"): (struct.Struct(">f"), Float),
    ord("d"): (struct.Struct(">d"), float),
    ord("D"): (struct.Struct(">BI"), _decimal),
    ord("V"): (struct.Struct(">"), lambda: None),
}
"""How a value of fixed size is read, by the octet that stands for its type."""


def read_table(table: bytes) -> dict[str, Any]:
    """Decode a table.

    Numbers are plain where that tells their type, else an `Integer` or a `Float`. Names and texts
    that are not UTF-8 are kept with "surrogateescape".

    :raises SyntaxRefused: for what is no table.
    """
    try:
        values, end = _read(table, 0, len(table), 0, _table)
    except (ValueError, struct.error, IndexError) as error:
        raise SyntaxRefused(f"a table that can't be decoded: {error!r}") from error
    if end != len(table):
        raise SyntaxRefused("a table that does not end with its last value")
    return values  # type: ignore[no-any-return]


def read_value(data: bytes, start: int = 0) -> tuple[Any, int]:
    """Decode a value of a table, after its type, and return where it ends.

    :raises SyntaxRefused: for what is none.
    """
    try:
        return _value(data, start, len(data), 1)
    except (ValueError, struct.error, IndexError) as error:
        raise SyntaxRefused(f"a value that can't be decoded: {error!r}") from error


def _read(data: bytes, start: int, end: int, depth: int, content: _Content) -> tuple[Any, int]:
    """Read a length and so much content; return it and where it ends."""
    if depth > MAX_DEPTH:
        raise ValueError(f"tables within tables, more than {MAX_DEPTH}")
    start += _LENGTH.size
    stop: int = start + _LENGTH.unpack_from(data, start - _LENGTH.size)[0]
    if stop > end:
        raise ValueError("it ends too early")
    return content(data, start, stop, depth), stop


def _table(data: bytes, start: int, end: int, depth: int) -> dict[str, Any]:
    values = {}
    while start < end:
        name_end = start + 1 + data[start]
        name = _text(data, start + 1, name_end)
        values[name], start = _value(data, name_end, end, depth + 1)
    return values


def _array(data: bytes, start: int, end: int, depth: int) -> list[Any]:
    values = []
    while start < end:
        value, start = _value(data, start, end, depth + 1)
        values.append(value)
    return values


def _text(data: bytes, start: int, end: int, _: int = 0) -> str:
    return data[start:end].decode("utf-8", "surrogateescape")


def _bytes(data: bytes, start: int, end: int, _: int) -> bytes:
    return data[start:end]


_CONTENT: Final[dict[int, _Content]] = {
    ord("S"): _text,
    ord("x"): _bytes,
    ord("F"): _table,
    ord("A"): _array,
}
"""How a value is read that starts with its length, by the octet that stands for its type."""


def _value(data: bytes, start: int, end: int, depth: int) -> tuple[Any, int]:
    kind = data[start]
    start += 1
    if kind in _FIXED:
        layout, made = _FIXED[kind]
        stop = start + layout.size
        if stop > end:
            raise ValueError("it ends too early")
        return made(*layout.unpack_from(data, start)), stop
    if kind not in _CONTENT:
        raise ValueError(f"no type of a value: {chr(kind)!r}")
    return _read(data, start, end, depth, _CONTENT[kind])


def fields(table: Mapping[str, Any]) -> dict[str, Field]:
    """Return the fields of a table, as `read_table` or pika has read it, by their names."""
    return {_decoded(name): field(value) for name, value in table.items()}


def field(value: Any) -> Field:
    """Return type and term of a value."""
    if value is None:
        return VOID
    if isinstance(value, str):
        return "longstr", _encoded(value)
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        return _integer_type(value), int(value)
    if isinstance(value, bytes):
        return "binary", bytes(value)
    if isinstance(value, float):
        return "float" if isinstance(value, Float) else "double", float(value)
    return _rarer_field(value)


def _rarer_field(value: Any) -> Field:
    if isinstance(value, datetime):
        return "timestamp", int(value.timestamp())
    if isinstance(value, Decimal):
        places = max(0, -int(value.as_tuple().exponent))
        return "decimal", (places, int(value.scaleb(places)) & _UNSIGNED)
    if isinstance(value, dict):
        return "table", tuple((_encoded(name), *field(each)) for name, each in value.items())
    if isinstance(value, list):
        return "array", tuple(field(each) for each in value)
    raise TypeError(f"no value of a table: {value!r}")


def _integer_type(value: int) -> str:
    if isinstance(value, Integer):
        return value.kind
    if isinstance(value, long) or not _INT_MIN <= value <= _INT_MAX:
        return "long"
    return "signedint"


def _decoded(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def _encoded(name: str | bytes) -> bytes:
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else bytes(name)
