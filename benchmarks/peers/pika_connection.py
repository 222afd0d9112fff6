"""A connection of pika's Twisted adapter."""

from __future__ import annotations

from typing import Any

from pika import URLParameters
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from benchmarks.peers.turn import url


async def connected(reactor: Any, port: int) -> tuple[Any, Any]:
    """Return a connection to the broker on `port`, and its `TwistedChannel`."""
    connection: Any = TwistedProtocolConnection(URLParameters(url(port)))  # type: ignore[arg-type]
    ready = connection.ready
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), connection)
    await ready
    return connection, await connection.channel()
