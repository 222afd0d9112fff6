"""The connection of a command to the broker that the environment names."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from netdemo.amqp.broker_url import BrokerURL, default_broker_url
from netdemo.amqp.client import AMQPClient
from netdemo.errors import ConnectionClosed, NetdemoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def connected(reactor: Any) -> AsyncIterator[AMQPClient]:
    """Lend a client that is ready, and stop it afterwards.

    :raises NetdemoError: at the first failure to connect, with the broker's words.
    """
    broker = BrokerURL.parse(default_broker_url())
    client = AMQPClient([default_broker_url()], reactor)
    client.startService()
    try:
        try:
            await client.when_ready(fail_after_failures=1)
        except ConnectionClosed as error:
            raise NetdemoError(f"{broker}: {error}") from None
        yield client
    finally:
        await client.stopService()
