"""Exchanges, queues and bindings as frozen values, and declaring them on a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def __str__(self) -> str:
        return f"exchange {self.name!r}"


@attrs.frozen
class Queue:
    """A queue (AMQP 0-9-1, section 1.7.2.1); `passive` only asks that it exists."""

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: dict[str, Any] | None = None
    passive: bool = False

    def __str__(self) -> str:
        return f"queue {self.name!r}"


@attrs.frozen
class Binding:
    """What goes from exchange `source` on to `destination`: a queue, or an exchange."""

    source: str
    destination: str
    routing_key: str = ""
    arguments: dict[str, Any] | None = None
    to_exchange: bool = False

    def __str__(self) -> str:
        kind = "exchange" if self.to_exchange else "queue"
        return f"binding of {kind} {self.destination!r} to {self.source!r}"


Item = Exchange | Queue | Binding


@attrs.frozen
class Topology:
    """What must exist before anyone publishes or consumes; declared in the order of the fields."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()

    def __iter__(self) -> Iterator[Item]:
        """Go through all of it, in the order in which it is declared."""
        yield from self.exchanges
        yield from self.queues
        yield from self.bindings

    def __add__(self, other: Topology) -> Topology:
        """Return what both hold, this one's first."""
        return Topology(
            self.exchanges + other.exchanges,
            self.queues + other.queues,
            self.bindings + other.bindings,
        )

    async def declare(self, channel: IChannel) -> None:
        """Declare everything on ``channel``.

        :raises ChannelClosed: with the broker's words at the first item that it refuses, 404 for
            a missing and 406 for a different one; the channel is then closed.
        """
        for item in self:
            await declare(item, channel)


async def declare(item: Item, channel: IChannel) -> None:
    """Declare one exchange, queue or binding on ``channel``.

    :raises ChannelClosed: with the broker's words when it refuses.
    """
    if isinstance(item, Exchange):
        await channel.exchange_declare(item)
    elif isinstance(item, Queue):
        await channel.queue_declare(item)
    else:
        await channel.bind(item)
