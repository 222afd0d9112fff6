"""What answers in the place of a broker, told by the first bytes that it sends."""

from __future__ import annotations

from typing import Final

GREETING_SIZE: Final = 64
"""Bytes of what arrives first that are looked at, and shown."""

_AMQP: Final = b"AMQP"
_AMQP_HEADER_SIZE: Final = 8
_TLS_ALERT: Final = b"\x15\x03"
"""Type and first octet of the version of a record (RFC 8446, section 5.1)."""


def other_protocol(greeting: bytes) -> str:
    """Say in a few words what sends ``greeting``, which is no frame of AMQP 0-9-1."""
    if greeting.startswith(_AMQP):  # how a peer refuses a version (section 4.2.2)
        version = "-".join(str(number) for number in greeting[5:_AMQP_HEADER_SIZE])
        return f"it speaks AMQP {version}, not 0-9-1"
    if greeting.startswith(_TLS_ALERT):
        return "it speaks TLS, and was expected to speak AMQP without it"
    if greeting.startswith(b"HTTP/"):
        return "it speaks HTTP, not AMQP"
    line = greeting[:GREETING_SIZE].splitlines()[0] if greeting else b""
    return f"it does not speak AMQP: its first bytes are {line!r}"
