"""The message that a record becomes."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from netdemo.address import NAME_LIMIT
from netdemo.amqp.message import PERSISTENT, TRANSIENT, Message
from netdemo.bridge.routes import Member

if TYPE_CHECKING:
    from netdemo.bridge.routes import From, PushRoute

REPLY_TO: Final = "amq.rabbitmq.reply-to"
"""Where routing keys begin over which RabbitMQ 3.10 fails, and with it the whole connection."""

HEADER_LIMIT: Final = 4096
"""Bytes of text that a header takes from a record: all headers have to go into one frame."""


class Composer:
    """Makes messages of the records of a push route, and takes from them what the route says.

    The body of a message is the record, whole.
    """

    def __init__(self, route: PushRoute, routing_key: str) -> None:
        self._routing_key = routing_key
        self._key_from = route.key_from
        self._headers_from = route.headers_from
        self._content_type = route.content_type
        self._delivery_mode = PERSISTENT if route.persistent else TRANSIENT
        self._parses = any(
            isinstance(each, Member)
            for each in (route.key_from, *(origin for _, origin in route.headers_from))
        )

    def compose(self, record: bytes) -> tuple[Message, str]:
        """Return the message for ``record``, and its routing key.

        The key is the destination's where the record has none that AMQP can carry; a header
        that it does not have is left out.
        """
        key, headers = self.extract(record)
        message = Message(
            record,
            headers=headers,
            content_type=self._content_type,
            delivery_mode=self._delivery_mode,
        )
        return message, self._routing_key if key is None else key

    def extract(self, record: bytes) -> tuple[str | None, dict[str, Any] | None]:
        """Return the routing key and the headers that ``record`` has, ``None`` for none."""
        if self._key_from is None and not self._headers_from:
            return None, None
        members = _members(record) if self._parses else {}
        key = None
        if self._key_from is not None:
            key = _routing_key(_value(record, members, self._key_from))
        headers = {
            name: value
            for name, origin in self._headers_from
            if (value := _value(record, members, origin)) is not None
        }
        return key, headers or None


def _members(record: bytes) -> dict[str, Any]:
    """Return the members of the JSON object that ``record`` is, none if it is none."""
    try:
        value = json.loads(record)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _value(record: bytes, members: dict[str, Any], origin: From) -> str | int | None:
    """Return what ``origin`` names, if it is text, a number or a truth value that AMQP can carry.

    A number that is not whole is text.
    """
    value = members.get(origin.name) if isinstance(origin, Member) else _first_word(record)
    match value:
        case str() if _is_carried(value):
            return value
        case bool():
            return value
        case float() if isfinite(value):
            return repr(value)  # pika has no floating point numbers
        case int() if -(2**63) <= value < 2**63:
            return value
    return None


def _first_word(record: bytes) -> str | None:
    words = record.split(None, 1)
    if not words or not record.startswith(words[0]):
        return None
    try:
        return words[0].decode()
    except UnicodeDecodeError:
        return None


def _is_carried(text: str) -> bool:
    """Tell whether ``text`` is short, with no half of a surrogate pair, of which JSON can speak."""
    try:
        return len(text.encode()) <= HEADER_LIMIT
    except UnicodeEncodeError:
        return False


def _routing_key(value: str | int | None) -> str | None:
    """Return ``value`` as a routing key, if it can be one."""
    if isinstance(value, bool) or value is None:
        return None
    key = str(value)
    if len(key.encode()) > NAME_LIMIT or key.startswith(REPLY_TO):
        return None
    return key
