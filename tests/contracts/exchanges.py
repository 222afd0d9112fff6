"""Exchanges: declared, bound, deleted, and what they route."""

from __future__ import annotations

from pika import spec

from tests.contract import Contract


class Exchanges(Contract):
    """exchange.declare and exchange.delete."""

    async def test_an_unknown_exchange_closes_the_channel(self) -> None:
        channel = await self.channel()
        await self.closes_channel(
            channel,
            spec.Exchange.Declare(exchange="nowhere", passive=True),
            404,
            "NOT_FOUND - no exchange 'nowhere' in vhost '/'",
        )

    async def test_an_unknown_type_closes_the_connection(self) -> None:
        channel = await self.channel()
        await self.closes_connection(
            channel,
            spec.Exchange.Declare(exchange=self.name(), type="odd"),
            503,
            "COMMAND_INVALID - unknown exchange type 'odd'",
        )
