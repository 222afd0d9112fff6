"""Services that run for a while, on ports of the loopback that the system chooses."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.application.service import IServiceCollection
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint

from netdemo.listening import PortService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from twisted.internet.interfaces import IStreamClientEndpoint

HOST: Final = "127.0.0.1"
ENDPOINT: Final = f"tcp:0:interface={HOST}"
"""Listens on a free port."""

Running = TypeVar("Running", bound=Any)


@asynccontextmanager
async def running(service: Running) -> AsyncIterator[Running]:
    """Start ``service``, and stop it afterwards."""
    service.startService()
    try:
        yield service
    finally:
        await maybeDeferred(service.stopService)


def ports(service: Any) -> list[int]:
    """Return the ports on which ``service`` and its children listen, in their order."""
    if isinstance(service, PortService):
        address: Any = service.address
        return [address.port]
    if not IServiceCollection.providedBy(service):
        return []
    return [port for child in service for port in ports(child)]


def way_to(port: int, reactor: Any) -> IStreamClientEndpoint:
    """Return the endpoint to connect to."""
    return TCP4ClientEndpoint(reactor, HOST, port)
