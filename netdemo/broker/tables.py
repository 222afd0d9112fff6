"""Values of tables as RabbitMQ has them: a type each, and what they are compared by.

Texts are bytes, whatever type they came in, and numbers are numbers; what is neither is told from
both. Two values are the same in a match when their terms are equal, and the same binding when
their types are too.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pika.compat import long

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

Field: TypeAlias = "tuple[str, Hashable]"
"""RabbitMQ's name of a type, and the term; a `str` as term stands for an atom of Erlang's."""

VOID: Final = ("void", "undefined")
"""A value that is none."""

_INT_MIN: Final = -(1 << 31)
_INT_MAX: Final = (1 << 31) - 1
_UNSIGNED: Final = 0xFFFF_FFFF


def fields(table: Mapping[str, Any]) -> dict[str, Field]:
    """Return the fields of a decoded table by their names."""
    return {_name(name): field(value) for name, value in table.items()}


def field(value: Any) -> Field:
    """Return type and term of a decoded value."""
    if value is None:
        return VOID
    if isinstance(value, str):
        return "longstr", value.encode("utf-8", "surrogateescape")
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        return _integer_type(value), int(value)
    if isinstance(value, bytes):
        return "binary", bytes(value)
    if isinstance(value, float):
        return "double", value
    return _rarer_field(value)


def shown(value: Field) -> str:
    """Return a value as RabbitMQ shows it, on one line: in Erlang's notation."""
    kind, term = value
    if isinstance(term, bytes):
        return _shown_bytes(term)
    if kind == "decimal":
        return "{{{},{}}}".format(*term)  # type: ignore[misc]  # two numbers
    if kind == "table":
        return f"[{','.join(_shown_entry(*each) for each in term)}]"  # type: ignore[attr-defined]
    if kind == "array":
        return f"[{','.join(_shown_item(*each) for each in term)}]"  # type: ignore[attr-defined]
    return str(term)


def _shown_entry(name: bytes, kind: str, term: Hashable) -> str:
    return f"{{{_shown_bytes(name)},{kind},{shown((kind, term))}}}"


def _shown_item(kind: str, term: Hashable) -> str:
    return f"{{{kind},{shown((kind, term))}}}"


def _shown_bytes(data: bytes) -> str:
    if not data:
        return "<<>>"
    if any(each < 0x20 or 0x7F <= each < 0xA0 for each in data):  # not printable, in Latin 1
        return f"<<{','.join(map(str, data))}>>"
    escaped = data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return f'<<"{escaped.decode("utf-8", "surrogateescape")}">>'


def _rarer_field(value: Any) -> Field:
    if isinstance(value, datetime):
        return "timestamp", int(value.timestamp())
    if isinstance(value, Decimal):
        decimals = max(0, -int(value.as_tuple().exponent))
        return "decimal", (decimals, int(value.scaleb(decimals)) & _UNSIGNED)
    if isinstance(value, dict):
        return "table", tuple((_encoded(name), *field(each)) for name, each in value.items())
    if isinstance(value, list):
        return "array", tuple(field(each) for each in value)
    raise TypeError(f"no value of a table: {value!r}")


def _integer_type(value: int) -> str:
    return "long" if isinstance(value, long) or not _INT_MIN <= value <= _INT_MAX else "signedint"


def _name(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def _encoded(name: str | bytes) -> bytes:
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else bytes(name)
