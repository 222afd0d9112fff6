"""What a message becomes when it dies in a queue: RabbitMQ's ``x-death`` headers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from netdemo.broker.encoding import write_value
from netdemo.broker.message import Message
from netdemo.broker.properties import (
    join_header,
    join_table,
    short_string,
    split_header,
    split_table,
)
from netdemo.broker.queues import REJECTED
from netdemo.broker.tables import Integer, read_value
from netdemo.broker.wire import raw

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_HEADERS: Final = b"\0\0\0\0"
_DEATHS: Final = b"x-death"
_COPIES: Final = b"CC"
_MOST: Final = (1 << 63) - 2
"""Deaths that can be counted, and one more."""


def dead_letter(
    message: Message,
    queue: str,
    reason: str,
    exchange: str,
    routing_key: str | None,
    now: float,
) -> Message:
    """Return what is published to ``exchange`` when ``message`` dies in ``queue`` for ``reason``.

    It keeps its routing keys unless there is a ``routing_key``. ``now`` is in seconds.
    """
    properties = split_header(message.header)
    headers = split_table(properties.get("headers", _NO_HEADERS))
    death: dict[str, Any] = {
        "count": Integer(1, "long"),
        "reason": reason,
        "queue": queue,
        "time": Integer(int(now), "timestamp"),
        "exchange": message.exchange,
        "routing-keys": [message.routing_key, *copies(headers)],
    }
    if (expiration := properties.pop("expiration", None)) is not None:
        death["original-expiration"] = short_string(expiration).decode("utf-8", "replace")
    if _DEATHS not in headers:
        for name in ("reason", "queue", "exchange"):
            headers[f"x-first-death-{name}".encode()] = write_value(death[name])
    headers[_DEATHS] = _encoded(_with(death, deaths(headers)))
    if routing_key is not None:
        headers.pop(_COPIES, None)
    properties["headers"] = join_table(headers)
    return Message(
        exchange,
        message.routing_key if routing_key is None else routing_key,
        join_header(properties, len(message.body)),
        message.body,
        message.persistent,
        message.priority,
    )


def counted(message: Message, returns: int) -> Message:
    """Return ``message`` with the header of quorum queues for how often it was given back."""
    properties = split_header(message.header)
    headers = split_table(properties.get("headers", _NO_HEADERS))
    headers[b"x-delivery-count"] = write_value(Integer(returns, "long"))
    properties["headers"] = join_table(headers)
    header = join_header(properties, len(message.body))
    return Message(message.exchange, message.routing_key, header, message.body)


def copies(headers: dict[bytes, bytes], name: bytes = _COPIES) -> list[str]:
    """Return the routing keys in a header of that ``name``, if it is one."""
    value = _decoded(headers.get(name, b"V"))
    keys = value if isinstance(value, list) else []
    return [each for each in keys if isinstance(each, str)]


def deaths(headers: dict[bytes, bytes]) -> list[dict[str, Any]]:
    """Return what is in the header ``x-death``, the latest death first."""
    value = _decoded(headers.get(_DEATHS, b"V"))
    tables = value if isinstance(value, list) else []
    return [each for each in tables if isinstance(each, dict)]


def goes_in_circles(past: Sequence[dict[str, Any]], queue: str) -> bool:
    """Whether a message with these deaths has been in ``queue`` and nobody ever rejected it since.

    Such a one would go round for ever.
    """
    for death in past:
        if death.get("reason") == REJECTED:
            return False
        if death.get("queue") == queue:
            return True
    return False


def _with(death: dict[str, Any], past: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put ``death`` first, or count one more of its like."""
    others = []
    for each in past:
        same = each.get("queue") == death["queue"] and each.get("reason") == death["reason"]
        if same:
            count = each.get("count")
            count = min(count, _MOST) if isinstance(count, int) else 0
            death = {**each, "count": Integer(count + 1, "long")}
        else:
            others.append(each)
    return [death, *others]


def _decoded(value: bytes) -> Any:
    return read_value(value)[0]


def _encoded(tables: list[dict[str, Any]]) -> bytes:
    """Encode an array of tables, whose names stay in order."""
    encoded = b"".join(
        b"F" + join_table({raw(name): write_value(value) for name, value in table.items()})
        for table in tables
    )
    return b"A" + struct.pack(">I", len(encoded)) + encoded
