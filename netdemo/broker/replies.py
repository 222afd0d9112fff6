"""RabbitMQ's direct reply-to: an answer goes to the channel that asked, through no queue."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from netdemo.broker.backlog import Entry

if TYPE_CHECKING:
    from netdemo.broker.consumers import Consumer
    from netdemo.broker.message import Message

REPLY_TO: Final = "amq.rabbitmq.reply-to"
_PREFIX: Final = f"{REPLY_TO}."


class Replies:
    """Who waits for replies, by the names that they are told to reply to."""

    def __init__(self) -> None:
        self._consumers: dict[str, Consumer] = {}

    def add(self, consumer: Consumer) -> str:
        """Take the replies for `consumer`; return the name to which they are to be sent."""
        name = f"{_PREFIX}{secrets.token_urlsafe(16)}"
        self._consumers[name] = consumer
        return name

    def remove(self, name: str) -> None:
        """Take no more replies for a name."""
        self._consumers.pop(name, None)

    def knows(self, name: str) -> bool:
        """Whether somebody waits for replies under this name."""
        return name in self._consumers

    def deliver(self, message: Message) -> None:
        """Deliver `message` if it is a reply that somebody waits for."""
        consumer = self._consumers.get(message.routing_key)
        if consumer is not None:
            consumer.receiver.deliver(consumer, Entry(message, 0))


def is_reply_to(name: str) -> bool:
    """Whether a reply is sent to this name, not to a queue of it."""
    return name.startswith(_PREFIX)


class NoQueue:
    """What a consumer of replies consumes from: nothing of it is kept."""

    name = REPLY_TO

    def done(self, entry: Any) -> None:
        """Do nothing."""

    reject = requeue = wake = remove_consumer = done
