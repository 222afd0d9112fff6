"""The bridge as services: one AMQP client, and one child for each route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import DeferredList, maybeDeferred

from netdemo.amqp.client import AMQPClient
from netdemo.amqp.destination import source, target
from netdemo.amqp.publisher import Publisher
from netdemo.bridge.pull import PullFactory
from netdemo.bridge.push import PushFactory
from netdemo.bridge.routes import PushRoute, Route
from netdemo.listening import ListeningService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from netdemo.bridge.routes import PullRoute


class RouteService(ListeningService):
    """One route: it listens, and when it stops, what its clients have sent or are sent is done."""

    def __init__(self, route: Route, factory: PushFactory | PullFactory, reactor: Any) -> None:
        super().__init__(route.endpoint, factory, reactor)
        self.setName(str(route))
        self.route = route
        self.factory = factory

    def stopService(self) -> Deferred[None]:
        return DeferredList(  # type: ignore[return-value]
            [super().stopService(), maybeDeferred(self.factory.stop)], fireOnOneErrback=True
        )


class BridgeService(MultiService):
    """Carries records between TCP and the first of the brokers at `urls` that answers.

    Its children are the `AMQPClient`, named ``amqp``, and a `RouteService` for each route, named
    by the route's text.
    """

    def __init__(self, urls: Sequence[str], routes: Sequence[Route], reactor: Any) -> None:
        super().__init__()
        self.client = AMQPClient(urls, reactor)
        self.client.setName("amqp")
        self.client.setServiceParent(self)
        for route in routes:
            add = _push if isinstance(route, PushRoute) else _pull
            factory = add(route, self.client, reactor)  # type: ignore[operator]
            RouteService(route, factory, reactor).setServiceParent(self)


def _push(route: PushRoute, client: AMQPClient, reactor: Any) -> PushFactory:
    to = target(route.destination)
    publisher = Publisher(to.topology, name=str(route))
    client.add(publisher)
    return PushFactory(route, to, publisher, reactor)


def _pull(route: PullRoute, client: AMQPClient, reactor: Any) -> PullFactory:
    del reactor
    return PullFactory(route, source(route.destination), client)
