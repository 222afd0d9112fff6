"""All there is of a message, as one line of JSON.

What JSON has no value for is text: a date in ISO 8601, a decimal in digits, and a number that is
none in its name. Bytes that are not UTF-8 are an object with the one member ``base64``.
"""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import attrs

from netdemo.amqp.message import Message, as_text

if TYPE_CHECKING:
    from netdemo.amqp.message import Delivery

MAX_DEPTH: Final = 100
"""Tables and arrays within each other, below which a header is told to be ``nested too deeply``."""

_PROPERTIES: Final = [
    field.name for field in attrs.fields(Message) if field.name not in ("body", "headers")
]


def json_line(delivery: Delivery) -> bytes:
    """Return ``delivery`` as a line of JSON, in UTF-8, with its newline.

    The body is ``body``, a string, if it is UTF-8, else ``body_base64``. Properties that it does
    not have are left out.
    """
    message = delivery.message
    values = {name: getattr(message, name) for name in _PROPERTIES}
    record = {
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
        "redelivered": delivery.redelivered,
        "properties": {name: value for name, value in values.items() if value is not None},
        "headers": _plain(message.headers or {}),
    }
    try:
        record["body"] = message.body.decode()
    except UnicodeDecodeError:
        record["body_base64"] = b64encode(message.body).decode()
    # A name that is not UTF-8 has surrogates in it, for which JSON writes what Python does.
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        return "nested too deeply"
    match value:
        case dict():
            return {as_text(name): _plain(each, depth + 1) for name, each in value.items()}
        case list():
            return [_plain(each, depth + 1) for each in value]
        case bytes():
            return {"base64": b64encode(value).decode()}
        case datetime():
            return value.isoformat()
        case Decimal():
            return str(value)
        case float() if not isfinite(value):
            return str(value)
    return value
