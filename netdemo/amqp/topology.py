"""Exchanges, queues and bindings as frozen values, and declaring them on a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from netdemo.amqp.interfaces import IChannel


@attrs.frozen
class Exchange:
    """An exchange (AMQP 0-9-1, section 1.6.2); `passive` only asks that it exists."""

    name: str
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: dict[str, Any] | None = None
    passive: bool = False


@attrs.frozen
class Queue:
    """A queue (AMQP 0-9-1, section 1.7.2.1); `passive` only asks that it exists."""

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: dict[str, Any] | None = None
    passive: bool = False


@attrs.frozen
class Binding:
    """What goes from exchange `source` on to `destination`: a queue, or an exchange."""

    source: str
    destination: str
    routing_key: str = ""
    arguments: dict[str, Any] | None = None
    to_exchange: bool = False


@attrs.frozen
class Topology:
    """What must exist before anyone publishes or consumes; declared in the order of the fields."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()

    async def declare(self, channel: IChannel) -> None:
        """Declare everything on `channel`.

        :raises ChannelClosed: with the broker's words at the first item that it refuses, 404 for
            a missing and 406 for a different one; the channel is then closed.
        """
        for exchange in self.exchanges:
            await channel.exchange_declare(exchange)
        for queue in self.queues:
            await channel.queue_declare(queue)
        for binding in self.bindings:
            await channel.bind(binding)
