"""A route as a service: it listens or connects, and when it stops, what is in hand is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from netdemo.bridge.dialling import DiallingService
from netdemo.listening import ListeningService

if TYPE_CHECKING:
    from netdemo.amqp.destination import Source
    from netdemo.bridge.clients import RouteFactory
    from netdemo.bridge.routes import Route


class RouteService(MultiService):
    """The service of one route, named by the route's text."""

    def __init__(self, route: Route) -> None:
        super().__init__()
        self.setName(str(route))
        self.route = route

    @property
    def source(self) -> Source | None:
        """What it consumes from, which another route may take over."""
        return None

    def withdraw(self) -> None:
        """Give the AMQP client back what was taken from it: the route is over, and has stopped."""
        raise NotImplementedError


class EndpointService(RouteService):
    """Listens on the endpoint of a route, or connects to it, and has `factory` for its clients.

    :raises Exception: of the endpoint's parser; the factory is withdrawn.
    """

    def __init__(self, route: Route, factory: RouteFactory, reactor: Any) -> None:
        super().__init__(route)
        self.factory = factory
        self._dialling: DiallingService | None = None
        try:
            self._add_endpoint(reactor)
        except Exception:
            factory.withdraw()
            raise

    def _add_endpoint(self, reactor: Any) -> None:
        if getattr(self.route, "connect", False):
            self._dialling = DiallingService(self.route.endpoint, self.factory, reactor)
            self._dialling.setServiceParent(self)
        else:
            ListeningService(self.route.endpoint, self.factory, reactor).setServiceParent(self)

    @property
    def source(self) -> Source | None:
        return getattr(self.factory, "source", None)

    def stopService(self) -> Deferred[None]:
        """Stop to listen, finish what is in hand, and close; fire when all is done."""
        if self._dialling is not None:
            self._dialling.hold()  # to stop it cuts off what is in hand
            return self.factory.stop().addBoth(self._stop_dialling)
        stopping = [maybeDeferred(super().stopService), self.factory.stop()]
        return gatherResults(stopping, consumeErrors=True).addCallback(lambda _: None)

    def _stop_dialling(self, result: Any) -> Deferred[Any]:
        return maybeDeferred(super().stopService).addCallback(lambda _: result)

    def withdraw(self) -> None:
        self.factory.withdraw()
