"""What is published and what is delivered."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import attrs

if TYPE_CHECKING:
    from pika.spec import BasicProperties

TRANSIENT: Final = 1
PERSISTENT: Final = 2
"""Values of the property ``delivery-mode`` (AMQP 0-9-1, section 1.8.3.7, class basic)."""


class _Identifiers:
    """Identifiers of this process: a random part, which a fork renews, and a number."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def new(self) -> str:
        return f"{self._random}-{next(self._numbers)}"

    def _renew(self) -> None:
        self._random = uuid4().hex


new_message_id: Final = _Identifiers().new
"""Return an identifier that no other message has."""


@attrs.frozen(kw_only=True, slots=False)  # with slots a frozen one takes three times as long
class Message:
    """A body in bytes and its properties (AMQP 0-9-1, class basic, in the specification's words).

    A message of ours is persistent and has a `message_id` of its own, by which a receiver knows
    a duplicate; one that was received has what its sender gave it.
    """

    body: bytes = attrs.field(kw_only=False)
    headers: dict[str, Any] | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    delivery_mode: int | None = PERSISTENT
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    """Milliseconds until the broker drops the message, as a string of digits."""
    message_id: str | None = attrs.field(factory=new_message_id)
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None

    @classmethod
    def received(cls, body: bytes, properties: BasicProperties) -> Message:
        """Build a message from what came over the wire."""
        return cls(body, **{name: as_text(getattr(properties, name)) for name in _PROPERTIES})


def as_text(value: Any) -> Any:
    """Return what pika leaves in bytes, as it is not UTF-8, in the form in which it is sent."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


_PROPERTIES: Final = tuple(f.name for f in attrs.fields(Message) if f.name != "body")


@attrs.frozen
class Delivery:
    """A message as it came to a consumer (``basic.deliver``)."""

    message: Message
    exchange: str
    routing_key: str
    redelivered: bool
    """Whether it may have been delivered before, to this consumer or another."""
    delivery_tag: int


@attrs.frozen
class Return:
    """A mandatory message that came back (``basic.return``)."""

    message: Message
    exchange: str
    routing_key: str
    reply_code: int
    reply_text: str
