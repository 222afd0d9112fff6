"""Erlang's notation, in which RabbitMQ shows people what it was sent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from netdemo.broker.tables import Field

_ESCAPED: Final = {
    8: r"\b",
    9: r"\t",
    10: r"\n",
    11: r"\v",
    12: r"\f",
    13: r"\r",
    27: r"\e",
    34: r"\"",
    92: r"\\",
}
"""What is printable only so."""


def shown(field: Field) -> str:
    """Return the value of a field, on one line; Erlang breaks what is long."""
    kind, term = field
    return _shown(kind, term)


def shown_string(text: bytes) -> str:
    """Return a string: quoted, or a list of numbers when it is not printable as Latin 1."""
    return f'"{_quoted(text)}"' if _printable(text) else f"[{_numbers(text)}]"


def _shown(kind: str, term: Any) -> str:
    if isinstance(term, bytes):
        if not _printable(term):
            return f"<<{_numbers(term)}>>"
        return f'<<"{_quoted(term)}">>' if term else "<<>>"
    if isinstance(term, float):
        return _shown_float(term)
    if kind == "decimal":
        return f"{{{term[0]},{term[1]}}}"
    if kind == "table":
        entries = (f"{{{_shown('', name)},{of},{_shown(of, each)}}}" for name, of, each in term)
        return f"[{','.join(entries)}]"
    if kind == "array":
        return f"[{','.join(f'{{{of},{_shown(of, each)}}}' for of, each in term)}]"
    return str(term)


def _shown_float(value: float) -> str:
    """Return the shorter of the two ways to write it, the one without exponent if they tie."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int):  # not a number, or infinite
        return repr(value)
    text = "".join(map(str, digits))
    scientific = f"{'-' * sign}{text[0]}.{text[1:] or '0'}e{exponent + len(text) - 1}"
    plain = f"{value:.{max(1, -exponent)}f}"
    return plain if len(plain) <= len(scientific) else scientific


def _printable(text: bytes) -> bool:
    return all(each in _ESCAPED or 0x20 <= each < 0x7F or each >= 0xA0 for each in text)


def _quoted(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape").translate(_ESCAPED)


def _numbers(text: bytes) -> str:
    return ",".join(map(str, text))
