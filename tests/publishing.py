"""A publisher at work on a channel of a scripted peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, spec
from twisted.internet.defer import Deferred

from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from tests.peer import Peer

if TYPE_CHECKING:
    from netdemo.amqp.interfaces import IChannel


class Publishing:
    """A publisher on a channel of a scripted peer."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        self.publisher = publisher or Publisher()
        self.peer = Peer().shake_hands()
        self.attach()

    def attach(self) -> None:
        """Give the publisher a new channel, in confirm mode."""
        self.channel: IChannel = self.peer.open_channel()
        self.number = len(self.peer.session._connection._channels)
        attaching = Deferred.fromCoroutine(self.publisher.attach(self.channel))
        self.peer.expect(spec.Confirm.Select)
        self.peer.send(spec.Confirm.SelectOk(), channel=self.number)
        assert attaching.called

    def publish(self, body: bytes = b"", key: str = "q") -> Deferred[None]:
        """Publish a message whose body is also its `message_id`."""
        return self.publisher.publish(Message(body, message_id=body.decode()), "", key)

    def ack(self, tag: int, multiple: bool = False) -> None:
        """Confirm messages."""
        self.peer.send(spec.Basic.Ack(tag, multiple), channel=self.number)

    def nack(self, tag: int, multiple: bool = False) -> None:
        """Refuse messages."""
        self.peer.send(spec.Basic.Nack(tag, multiple), channel=self.number)

    def give_back(self, body: bytes, key: str = "q") -> None:
        """Return a mandatory message whose body is also its `message_id`."""
        self.give_back_with_id(body.decode(), key)

    def give_back_with_id(self, message_id: str, key: str = "q") -> None:
        """Return a mandatory message."""
        self.peer.send_content(
            spec.Basic.Return(312, "NO_ROUTE", "", key),
            BasicProperties(message_id=message_id),
            b"",
            channel=self.number,
        )

    def sent(self) -> list[bytes]:
        """Return the bodies that were sent since this was asked last."""
        return [each.fragment for each in self.peer.received() if each.NAME == "Body"]

    def sent_ids(self) -> list[str]:
        """Return the `message_id` of what was sent since this was asked last."""
        return [
            each.properties.message_id for each in self.peer.received() if each.NAME == "Header"
        ]
