"""Destinations in text, the form that RabbitMQ's own STOMP plugin taught people.

=====================  ==========================================  ================================
text                   send                                        receive
=====================  ==========================================  ================================
/queue/NAME            declare durable queue NAME, publish to it   the same declaration, consume
/amq/queue/NAME        no declaration, publish to NAME             the existing queue only
/topic/KEY             exchange ``amq.topic``, routing key KEY     own queue, bound with KEY
/exchange/NAME/KEY     exchange NAME, key KEY (may be empty)       own queue, bound with KEY
=====================  ==========================================  ================================

``%2F`` stands for a slash inside a name, as in a URL, and ``%40`` for an @ where an endpoint
follows.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

import attrs

from netdemo.errors import AddressError

EXPECTED: Final = "/queue/NAME, /amq/queue/NAME, /topic/KEY or /exchange/NAME/KEY"
NAME_LIMIT: Final = 255
"""Longest name in bytes: AMQP 0-9-1 sends them as short strings (section 4.2.5.3)."""


@attrs.frozen
class QueueDestination:
    """A queue by name; `declare` says whether it is ours to declare."""

    name: str
    declare: bool = True

    def __str__(self) -> str:
        return f"{'/queue' if self.declare else '/amq/queue'}/{_quote(self.name)}"


@attrs.frozen
class ExchangeDestination:
    """An existing exchange and the key to publish or bind with."""

    name: str
    routing_key: str

    def __str__(self) -> str:
        if self.name == TOPIC_EXCHANGE and self.routing_key:
            return f"/topic/{_quote(self.routing_key)}"
        return f"/exchange/{_quote(self.name)}/{_quote(self.routing_key)}"


Destination = QueueDestination | ExchangeDestination

TOPIC_EXCHANGE: Final = "amq.topic"
"""The topic exchange that every broker has (AMQP 0-9-1, section 3.1.3)."""


def parse_destination(text: str) -> Destination:
    """Read a destination.

    :raises AddressError: naming ``text`` and what was expected.
    """
    match text.split("/"):
        case ["", "queue", name] if name:
            return QueueDestination(_unquote(name, text))
        case ["", "amq", "queue", name] if name:
            return QueueDestination(_unquote(name, text), declare=False)
        case ["", "topic", key] if key:
            return ExchangeDestination(TOPIC_EXCHANGE, _unquote(key, text))
        case ["", "exchange", name, *key] if name and len(key) <= 1:
            return ExchangeDestination(_unquote(name, text), _unquote("".join(key), text))
    raise AddressError(f"bad destination {text!r}: expected {EXPECTED}")


def _quote(name: str) -> str:
    return quote(name, safe="*#: ")


def _unquote(name: str, text: str) -> str:
    try:
        name = unquote(name, errors="strict")
        size = len(name.encode())
    except UnicodeError:
        raise AddressError(f"bad destination {text!r}: expected a name in UTF-8") from None
    if size > NAME_LIMIT:
        raise AddressError(
            f"bad destination {text!r}: expected a name of at most {NAME_LIMIT} bytes"
        )
    return name
