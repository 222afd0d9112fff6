"""What the rest of `netdemo.amqp` needs of a transport: one live connection and its channels.

`netdemo.amqp.session` implements these on pika; another transport can take its place.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from twisted.internet.defer import Deferred

    from netdemo.amqp.message import Delivery, Message, Return
    from netdemo.amqp.topology import Binding, Exchange, Queue, Topology
    from netdemo.errors import AMQPError, ChannelClosed, ConnectionBlocked, ConnectionClosed


class Stage(IntEnum):
    """How far the opening of a session has come (AMQP 0-9-1, section 2.2.4)."""

    CONNECTED = 0
    """The transport is there."""

    SECURED = 1
    """TLS is, whose certificates are in order; there is no such stage without TLS."""

    STARTED = 2
    """The broker has said who it is (``connection.start``)."""

    LOGGED_IN = 3
    """It has let the user in (``connection.tune``)."""

    OPEN = 4
    """The virtual host is open (``connection.open-ok``)."""


class ISession(Interface):
    """One AMQP connection, from its opening to its end."""

    opened: Deferred[ISession] = Attribute(
        "Fires with the session when AMQP is open; fails with `ConnectionClosed`, in the broker's "
        "own words where it said any. Cancelling it aborts the connection."
    )
    closed: Deferred[ConnectionClosed] = Attribute(
        "Fires, never fails, with the reason when an open session has ended."
    )

    server_properties: Mapping[str, Any] = Attribute(
        "What the broker says of itself, from `Stage.STARTED` on: its product, its version."
    )

    transport: Any = Attribute("The transport, ``None`` before it is connected.")

    blocked: ConnectionBlocked | None = Attribute(
        "Why the broker takes nothing that is published now, ``None`` when it does."
    )

    def reached(stage: Stage) -> Deferred[None]:
        """Fire when opening has come to ``stage``; fail as `opened` when it ends before."""

    def watch_blocked(listener: Callable[[ConnectionBlocked | None], None]) -> None:
        """Call ``listener`` whenever `blocked` has changed, with its new value."""

    def open_channel() -> Deferred[IChannel]:
        """Fire with a new channel, or fail with `ChannelClosed`."""

    def close() -> Deferred[None]:
        """Close politely, or by force after a few seconds; fire when the session has ended."""

    def abort() -> None:
        """End the connection now."""


class IChannel(Interface):
    """A channel. What it returns as a Deferred fails with `ChannelClosed` when the channel ends."""

    closed: Deferred[ChannelClosed] = Attribute(
        "Fires, never fails, with the reason when the channel has ended."
    )

    def exchange_declare(exchange: Exchange) -> Deferred[None]:
        """Declare ``exchange`` (``exchange.declare``)."""

    def queue_declare(queue: Queue) -> Deferred[str]:
        """Declare ``queue`` (``queue.declare``); fire with its name."""

    def queue_delete(queue: str) -> Deferred[None]:
        """Delete a queue and what is in it; nothing happens if there is none (``queue.delete``)."""

    def bind(binding: Binding) -> Deferred[None]:
        """Bind a queue or an exchange (``queue.bind``, ``exchange.bind``)."""

    def confirm_select(
        on_outcome: Callable[[int, bool, bool], None], on_return: Callable[[Return], None]
    ) -> Deferred[None]:
        """Have every publish answered: ``on_outcome`` gets delivery tag, multiple, and acked."""

    def publish(message: Message, exchange: str, routing_key: str, mandatory: bool) -> None:
        """Send a message.

        :raises ChannelClosed: when the channel has ended.
        :raises ValueError: or what else the codec raises, when it can't be put on the wire;
            nothing was sent then.
        """

    def qos(prefetch: int) -> Deferred[None]:
        """Let each consumer hold ``prefetch`` unacknowledged messages (``basic.qos``)."""

    def consume(
        queue: str,
        on_delivery: Callable[[Delivery], None],
        on_cancel: Callable[[], None],
        no_ack: bool = False,
    ) -> Deferred[str]:
        """Consume from ``queue`` (``basic.consume``); fire with the consumer tag.

        ``on_cancel`` is called when the broker cancels the consumer. With ``no_ack`` a delivery is
        done when it is sent, and is not to be answered.
        """

    def cancel(consumer_tag: str) -> Deferred[None]:
        """Have no more deliveries (``basic.cancel``)."""

    def ack(*delivery_tags: int) -> None:
        """Acknowledge deliveries; nothing happens on a channel that has ended.

        Acks of these, and of what arrived together, may go together, as one for all up to a tag.
        """

    def nack(delivery_tag: int, requeue: bool) -> None:
        """Refuse a delivery; nothing happens on a channel that has ended."""

    def close(reason: ChannelClosed | None = None) -> Deferred[None]:
        """Close the channel; fire when it has ended, with `closed` fired with ``reason``."""


class IChannelUser(Interface):
    """Something that works on a channel of its own, which a client opens again and again."""

    topology: Topology = Attribute("What is declared on the channel before it is handed over.")

    def start() -> None:
        """Be ready for a first channel, or another one after `give_up`."""

    def attach(channel: IChannel) -> Coroutine[Deferred[Any], Any, None]:
        """Start to work on ``channel``."""

    def detach(reason: ChannelClosed) -> None:
        """Stop to work on the channel that `attach` got: it has ended."""

    def drain() -> Deferred[None]:
        """Take on nothing new from the broker; fire when all that is in hand is done."""

    def give_up(reason: AMQPError) -> None:
        """Fail what is still in hand, and what comes: there will be no channel until `start`."""
