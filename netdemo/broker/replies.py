"""RabbitMQ's direct reply-to: an answer goes to the channel that asked, through no queue."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netdemo.broker.message import Message

REPLY_TO: Final = "amq.rabbitmq.reply-to"


def is_reply_to(name: str) -> bool:
    """Whether a name could be one that somebody was told to reply to."""
    return name.startswith(f"{REPLY_TO}.")


class Asker(Protocol):
    """A channel that takes replies."""

    def deliver_reply(self, message: Message) -> None:
        """Send a reply to the consumer of replies."""


class Replies:
    """Who waits for replies, by the names that they are told to reply to."""

    def __init__(self) -> None:
        self._askers: dict[str, Asker] = {}

    def add(self, asker: Asker) -> str:
        """Take replies for ``asker``; return the name to which they are to be sent."""
        name = f"{REPLY_TO}.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(16)}"
        self._askers[name] = asker
        return name

    def remove(self, name: str) -> None:
        """Take no more replies for a name."""
        self._askers.pop(name, None)

    def expects(self, name: str) -> bool:
        """Whether somebody waits for replies under this name."""
        return name in self._askers

    def deliver(self, message: Message, keys: Iterable[str]) -> None:
        """Deliver what is published to the default exchange, if it is a reply, to who waits."""
        for key in keys:
            asker = self._askers.get(key)
            if asker is not None:
                asker.deliver_reply(message)


class NoQueue:
    """What a consumer of replies consumes from: nothing of it is kept."""

    name = REPLY_TO

    def done(self, entry: Any) -> None:
        """Do nothing."""

    reject = requeue = wake = remove_consumer = done
