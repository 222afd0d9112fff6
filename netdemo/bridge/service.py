"""The bridge as services: one AMQP client, and one child for each route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredLock, gatherResults, maybeDeferred
from twisted.logger import Logger

from netdemo.amqp.client import STOP_TIMEOUT, AMQPClient
from netdemo.bridge.call import CallFactory
from netdemo.bridge.outlet import Outlet
from netdemo.bridge.pull import PullFactory
from netdemo.bridge.push import PushFactory
from netdemo.bridge.route_service import EndpointService, RouteService
from netdemo.bridge.routes import (
    SPOOL_LIMIT,
    CallRoute,
    PullRoute,
    PushRoute,
    ServeRoute,
    SubscribeRoute,
)
from netdemo.bridge.serve import ServeService
from netdemo.bridge.spool_outlet import SpoolOutlet, SpoolService
from netdemo.bridge.subscribe import SubscribeFactory
from netdemo.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from netdemo.address import Destination
    from netdemo.amqp.destination import Source
    from netdemo.bridge.interfaces import IOutlet
    from netdemo.bridge.routes import Route


class Bridge(MultiService):
    """Carries records between TCP and a broker: a `RouteService` for each route, on one client.

    The routes may be changed while it runs.
    """

    _log = Logger()

    def __init__(
        self,
        client: AMQPClient,
        routes: Sequence[Route],
        reactor: Any,
        spool: SpoolService | None = None,
    ) -> None:
        super().__init__()
        self._client = client
        self._reactor = reactor
        self._spool = spool
        self._in_turn = DeferredLock()
        client.setServiceParent(self)
        if spool is not None:
            spool.setServiceParent(self)
        for route in routes:
            self._service(route).setServiceParent(self)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Those that are carried now."""
        return tuple(service.route for service in self._services())

    def change(self, routes: Sequence[Route]) -> Deferred[None]:
        """Carry ``routes`` from now on, after earlier changes; fire when that is so.

        Those of them that are carried already go on as they are. The others are stopped: they take
        nothing more at once, and have ended when all that they have in hand is done. A new route
        begins at once, but for one with the endpoint, or the kind and destination, of a route that
        is stopped: that one begins when those have ended, and takes a queue of its own over from
        a route of its kind and destination, with what has come into it meanwhile.

        A route that can't be started is logged, and not carried; what was stopped for it is
        started again. It goes on when the Deferred is cancelled.
        """
        changed: Deferred[None] = Deferred()
        changing = self._in_turn.run(lambda: Deferred.fromCoroutine(self._change(routes)))
        changing.chainDeferred(changed)
        return changed

    def stopService(self) -> Deferred[None]:
        """Stop everything; fire when all in hand is done, also of what a change has stopped."""
        stopping = [maybeDeferred(super().stopService), self._in_turn.run(lambda: None)]
        return gatherResults(stopping, consumeErrors=True).addCallback(lambda _: None)

    def _service(self, route: Route, taken_over: Source | None = None) -> RouteService:
        return route_service(route, self._client, self._reactor, self._spool, taken_over)

    def _services(self) -> list[RouteService]:
        return [each for each in self if isinstance(each, RouteService)]

    async def _change(self, routes: Sequence[Route]) -> None:
        carried = self.routes
        new = [route for route in dict.fromkeys(routes) if route not in carried]
        old = [service for service in self._services() if service.route not in routes]
        stopping = {service: self._end(service) for service in old}
        waiting = [route for route in new if any(_follows(route, each.route) for each in old)]
        ended = list(old)
        for route in new:
            if route not in waiting:
                await self._begin(route, None, ended)
        untaken = {_queue_of(each.route): each for each in old}
        refused = []

        async def begin_in_place(route: Route) -> None:
            for service in old:
                if _follows(route, service.route):
                    await stopping[service]
            before = untaken.pop(_queue_of(route), None)
            if not await self._begin(route, before, ended):
                refused.append(route)
                if before is not None:
                    untaken[_queue_of(route)] = before
            elif before is not None:  # it consumes no more from what is the new one's
                ended.remove(before)
                before.withdraw()

        beginning = [Deferred.fromCoroutine(begin_in_place(route)) for route in waiting]
        for each in (*beginning, *stopping.values()):
            await each
        for service in old:
            if service.name in self.namedServices:  # as what it was changed to
                continue
            if any(_follows(route, service.route) for route in refused):
                before = untaken.pop(_queue_of(service.route), None)
                await self._begin(service.route, before, ended)
        for service in ended:  # not before: what is taken over would be deleted
            service.withdraw()

    def _end(self, service: RouteService) -> Deferred[None]:
        stopping: Deferred[None] = maybeDeferred(service.disownServiceParent)
        stopping.addErrback(
            lambda failure: self._log.failure("{route}: stopping", failure, route=service.route)
        )
        if not stopping.called:
            late = self._reactor.callLater(STOP_TIMEOUT, self._tell_late, service.route)
            stopping.addCallback(lambda _: late.cancel() if late.active() else None)
        return stopping

    def _tell_late(self, route: Route) -> None:
        self._log.warn(
            "{route} is stopped, and has records in hand after {s:g} s; it ends when they are done",
            route=route,
            s=STOP_TIMEOUT,
        )

    async def _begin(
        self, route: Route, before: RouteService | None, ended: list[RouteService]
    ) -> bool:
        """Begin a route, with the source of the one ``before``; tell whether it is carried.

        Its service is in ``ended`` if not.
        """
        try:
            service = self._service(route, None if before is None else before.source)
        except Exception as error:  # of the endpoint's parser, when a file is gone that it names
            self._not_begun(route, error)
            return False
        try:
            service.setServiceParent(self)
        except StartupError as error:
            self._not_begun(route, error)
            await self._end(service)
            ended.append(service)
            return False
        return True

    def _not_begun(self, route: Route, error: Exception) -> None:
        self._log.error("{route} is not carried: {error}", route=route, error=error)


def _queue_of(route: Route) -> tuple[str, Destination]:
    """Return what a route has in common with one that may take its queue over."""
    return route.kind, route.destination


def _follows(new: Route, old: Route) -> bool:
    """Tell whether ``new`` may be what has become of ``old``."""
    return new.endpoint == old.endpoint or _queue_of(new) == _queue_of(old)


def bridge_service(
    urls: Sequence[str],
    routes: Sequence[Route],
    reactor: Any,
    *,
    spool: Path | None = None,
    spool_limit: int = SPOOL_LIMIT,
) -> Bridge:
    """Carry records between TCP and the first of the brokers at ``urls`` that lets it in.

    The children are the `AMQPClient`, named ``amqp``, and a `RouteService` for each route, named
    by the route's text. Between them is one named ``spool``, if there is a folder for that, in
    which records that are pushed are safe, up to ``spool_limit`` bytes, before the broker has them.

    :raises BrokerURLError: for a malformed URL.
    """
    client = AMQPClient(urls, reactor)
    client.setName("amqp")
    spooling: SpoolService | None = None
    if spool is not None:
        spooling = SpoolService(spool, client, reactor, spool_limit)
        spooling.setName("spool")
    return Bridge(client, routes, reactor, spooling)


def route_service(
    route: Route,
    client: AMQPClient,
    reactor: Any,
    spool: SpoolService | None = None,
    taken_over: Source | None = None,
) -> RouteService:
    """Return the service of one route, which is not running yet.

    ``taken_over`` is the source of a route of its kind and destination that has ended.
    """
    match route:
        case PushRoute():
            outlet: IOutlet
            outlet = SpoolOutlet(route, spool, reactor) if spool else Outlet(route, reactor)
            outlet.attach(client)
            return EndpointService(route, PushFactory(route, outlet, reactor), reactor)
        case PullRoute():
            return EndpointService(route, PullFactory(route, client, taken_over), reactor)
        case SubscribeRoute():
            return EndpointService(route, SubscribeFactory(route, client, taken_over), reactor)
        case CallRoute():
            return EndpointService(route, CallFactory(route, client), reactor)
        case ServeRoute():
            return ServeService(route, client, reactor, taken_over)
    raise NotImplementedError(route.kind)
