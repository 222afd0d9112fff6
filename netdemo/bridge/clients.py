"""The TCP clients of a route: as many as it allows, from where it allows."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from netdemo.listening import LimitedFactory, Refused
from netdemo.transport import address_text

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress, IProtocol

    from netdemo.bridge.routes import ClientRoute

LINGER: Final = 5.0
"""Seconds that a client has to read what was written last and to close, before it is aborted."""


class RouteFactory(LimitedFactory):
    """Builds the connections of one route.

    Those from elsewhere than the route's networks are aborted, logged and counted in `forbidden`.
    A unix socket is of no network, and lets in who may open it. Behind haproxy it is the proxy's
    network that counts.
    """

    _log = Logger()

    def __init__(self, route: ClientRoute) -> None:
        super().__init__(route.max_clients)
        self.route: Any = route
        self.where = f"{route}: "
        self.forbidden = 0
        self.stopping = False

    def buildProtocol(  # type: ignore[override]  # any IProtocol will do
        self, addr: IAddress | None
    ) -> IProtocol:
        if self.stopping:
            return Refused()
        if not self._admits(getattr(addr, "host", None)):
            self.forbidden += 1
            self._log.warn(
                "{route}: refused {peer}: it is in none of the networks {networks}",
                route=self.route,
                peer=address_text(addr),
                networks=", ".join(map(str, self.route.allow)),
            )
            return Refused()
        return super().buildProtocol(addr)

    def stop(self) -> Deferred[None]:
        """Take nothing more; fire when all that is in hand is done, and no client is left."""
        raise NotImplementedError

    def withdraw(self) -> None:
        """Give the AMQP client back what was taken from it: the route is over."""
        raise NotImplementedError

    def _admits(self, host: str | None) -> bool:
        if host is None or not self.route.allow:
            return True
        addresses = [ip_address(host)]
        mapped = getattr(addresses[0], "ipv4_mapped", None)
        if mapped is not None:
            addresses.append(mapped)
        return any(address in network for network in self.route.allow for address in addresses)
