"""Headers and properties of a message in text, as NAME=VALUE."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.python import usage

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT: Final = 255
"""Bytes of a property, and of a header's name: short strings (AMQP 0-9-1, section 4.2.5.3)."""

MAX_PRIORITY: Final = (1 << 8) - 1
MAX_TIMESTAMP: Final = (1 << 63) - 1
"""Seconds; AMQP has 64 bits for it, and receivers often one of them for a sign."""

MAX_EXPIRATION: Final = (1 << 32) - 1
"""Milliseconds, the most that RabbitMQ takes."""


def _text(value: str) -> str:
    if len(_encoded(value)) > MAX_TEXT:
        raise usage.UsageError(f"expected at most {MAX_TEXT} bytes")
    return value


def _whole_number(value: str, maximum: int) -> int:
    with suppress(ValueError):
        if value.isascii() and value.isdigit() and (number := int(value)) <= maximum:
            return number
    raise usage.UsageError(f"expected a whole number from 0 to {maximum}")


def _expiration(value: str) -> str:
    return str(_whole_number(value, MAX_EXPIRATION))


PROPERTIES: Final[dict[str, Callable[[str], Any]]] = {
    "content-type": _text,
    "content-encoding": _text,
    "priority": partial(_whole_number, maximum=MAX_PRIORITY),
    "correlation-id": _text,
    "reply-to": _text,
    "expiration": _expiration,
    "message-id": _text,
    "timestamp": partial(_whole_number, maximum=MAX_TIMESTAMP),
    "type": _text,
    "user-id": _text,
    "app-id": _text,
}
"""How the value of each property is read (AMQP 0-9-1, class basic).

Headers have an option of their own, and so has the delivery mode.
"""


def parse_property(text: str) -> tuple[str, Any]:
    """Return name, as a `Message` has it, and value of a property in text.

    :raises UsageError: if there is none of this name, or its value does not fit.
    """
    name, equals, value = text.partition("=")
    if not equals or name not in PROPERTIES:
        known = ", ".join(PROPERTIES)
        raise usage.UsageError(f"bad --property {text!r}: expected NAME=VALUE, NAME one of {known}")
    try:
        return name.replace("-", "_"), PROPERTIES[name](value)
    except usage.UsageError as error:
        raise usage.UsageError(f"bad --property {text!r}: {error}") from None


def parse_header(text: str) -> tuple[str, str]:
    """Return name and value of a header in text.

    :raises UsageError: if it has no name, or one that is too long.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise usage.UsageError(f"bad --header {text!r}: expected NAME=VALUE")
    try:
        _encoded(value)
        return _text(name), value
    except usage.UsageError as error:
        raise usage.UsageError(f"bad --header {text!r}: {error}") from None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # an argument that is not UTF-8 has surrogates in it
        raise usage.UsageError("expected UTF-8") from None
