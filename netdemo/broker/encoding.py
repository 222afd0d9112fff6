"""Tables written as `netdemo.broker.tables` reads them: each value with the type that it had."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pika.data import encode_value

from netdemo.broker.tables import Float, Integer

if TYPE_CHECKING:
    from collections.abc import Mapping

_LENGTH: Final = struct.Struct(">I")
_DECIMAL: Final = struct.Struct(">cBI")
_UNSIGNED: Final = 0xFFFF_FFFF
_INTEGERS: Final = {
    "byte": struct.Struct(">cb"),
    "unsignedbyte": struct.Struct(">cB"),
    "short": struct.Struct(">ch"),
    "unsignedshort": struct.Struct(">cH"),
    "unsignedint": struct.Struct(">cI"),
    "long": struct.Struct(">cq"),
    "timestamp": struct.Struct(">cQ"),
}
_CODES: Final = {
    "byte": b"b",
    "unsignedbyte": b"B",
    "short": b"s",
    "unsignedshort": b"u",
    "unsignedint": b"i",
    "long": b"l",
    "timestamp": b"T",
}


def write_table(values: Mapping[str, Any]) -> bytes:
    """Encode a table, with its names in order: equal tables become equal bytes."""
    entries = []
    for name, value in sorted(values.items()):
        encoded = name.encode("utf-8", "surrogateescape")
        entries.append(b"%c%b%b" % (len(encoded), encoded, write_value(value)))
    return _with_length(b"".join(entries))


def write_value(value: Any) -> bytes:
    """Encode a value, after the octet that stands for its type."""
    if isinstance(value, str):
        return b"S" + _with_length(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, Integer):
        return _INTEGERS[value.kind].pack(_CODES[value.kind], value)
    if isinstance(value, float):
        code, layout = (b"f", ">cf") if isinstance(value, Float) else (b"d", ">cd")
        return struct.pack(layout, code, value)
    if isinstance(value, dict):
        return b"F" + write_table(value)
    if isinstance(value, list):
        return b"A" + _with_length(b"".join(map(write_value, value)))
    if isinstance(value, Decimal):
        places = max(0, -int(value.as_tuple().exponent))
        digits = int(value.scaleb(places)) & _UNSIGNED  # pika's codec takes them as signed
        return _DECIMAL.pack(b"D", places, digits)
    pieces: list[bytes] = []
    encode_value(pieces, value)
    return b"".join(pieces)


def _with_length(encoded: bytes) -> bytes:
    return _LENGTH.pack(len(encoded)) + encoded
