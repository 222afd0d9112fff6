"""The bridge as services: one AMQP client, and one child for each route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import gatherResults, maybeDeferred

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
        stopping: list[Deferred[None]] = [super().stopService(), maybeDeferred(self.factory.stop)]
        return gatherResults(stopping).addCallback(lambda _: None)


def bridge_service(urls: Sequence[str], routes: Sequence[Route], reactor: Any) -> MultiService:
    """Carry records between TCP and the first of the brokers at `urls` that lets it in.

    The children are the `AMQPClient`, named ``amqp``, and a `RouteService` for each route, named
    by the route's text.

    :raises BrokerURLError: for a malformed URL.
    """
    bridge = MultiService()
    client = AMQPClient(urls, reactor)
    client.setName("amqp")
    client.setServiceParent(bridge)
    for route in routes:
        factory: PushFactory | PullFactory
        if isinstance(route, PushRoute):
            factory = _push(route, client, reactor)
        else:
            factory = _pull(route, client)
        RouteService(route, factory, reactor).setServiceParent(bridge)
    return bridge


def _push(route: PushRoute, client: AMQPClient, reactor: Any) -> PushFactory:
    to = target(route.destination)
    publisher = Publisher(to.topology, name=str(route))
    client.add(publisher)
    return PushFactory(route, to, publisher, reactor)


def _pull(route: PullRoute, client: AMQPClient) -> PullFactory:
    come_from = source(route.destination)
    # Also while nobody pulls: what is published meanwhile shall wait there.
    client.declare(come_from.topology).addErrback(lambda _: None)  # the client logs it
    return PullFactory(route, come_from, client)
