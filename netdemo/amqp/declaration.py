"""Keeping a topology declared for as long as the client is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from netdemo.amqp.interfaces import IChannelUser

if TYPE_CHECKING:
    from netdemo.amqp.interfaces import IChannel
    from netdemo.amqp.topology import Topology
    from netdemo.errors import AMQPError, ChannelClosed


@implementer(IChannelUser)
class Declaration:
    """Declares `topology` on every connection, and tries again when the broker refuses it."""

    def __init__(self, topology: Topology, *, name: str = "declaration") -> None:
        self.topology = topology
        self.name = name

    def __str__(self) -> str:
        return self.name

    def start(self) -> None:
        """Do nothing: it is always ready."""

    async def attach(self, channel: IChannel) -> None:
        """Do nothing: the topology has been declared."""

    def detach(self, reason: ChannelClosed) -> None:
        """Do nothing: it will be declared again."""

    def drain(self) -> Deferred[None]:
        """Fire at once: nothing is ever in hand."""
        return succeed(None)

    def give_up(self, reason: AMQPError) -> None:
        """Do nothing: nothing is ever in hand."""
