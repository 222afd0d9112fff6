"""A message as the broker keeps it: what arrived, byte for byte."""

from __future__ import annotations

from typing import Any, Final

from netdemo.broker.properties import split_header
from netdemo.broker.tables import read_table

OVERHEAD: Final = 500
"""Bytes that a message, and its place in a queue, are taken to cost besides header and body."""


class Message:
    """What was published; it is never changed, and may be in many queues at once.

    `header` is the payload of its content header. `expiration` is in milliseconds, ``None`` for
    none. `holds` counts the places that keep it in memory. Names that are not UTF-8 are kept with
    "surrogateescape".
    """

    __slots__ = (
        "body",
        "exchange",
        "expiration",
        "header",
        "holds",
        "persistent",
        "priority",
        "routing_key",
    )

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        header: bytes,
        body: bytes,
        persistent: bool = False,
        priority: int = 0,
        expiration: int | None = None,
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.header = header
        self.body = body
        self.persistent = persistent
        self.priority = priority
        self.expiration = expiration
        self.holds = 0

    @property
    def size(self) -> int:
        """Bytes that it is taken to cost in memory."""
        return OVERHEAD + len(self.header) + len(self.body)

    def headers(self) -> dict[str, Any]:
        """Decode the ``headers`` property, for those who route by it."""
        table = split_header(self.header).get("headers")
        return {} if table is None else read_table(table)
