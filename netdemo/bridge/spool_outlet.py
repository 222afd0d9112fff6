"""Store and forward: the records of push routes go to a spool, and from there to the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.destination import target
from netdemo.amqp.message import PERSISTENT, TRANSIENT
from netdemo.amqp.window import Window
from netdemo.bridge.composing import Composer
from netdemo.bridge.interfaces import IOutlet
from netdemo.bridge.routes import SPOOL_LIMIT
from netdemo.bridge.spool import open_spool
from netdemo.bridge.spool_blocks import Block, Terms, Writing
from netdemo.bridge.spool_drain import Drain
from netdemo.bridge.spool_file import REFUSED, StoredRoute, first_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from netdemo.amqp.client import AMQPClient
    from netdemo.bridge.routes import PushRoute
    from netdemo.bridge.spool import Spool

WRITING_RECORDS: Final = 4000
"""Records of a route that are being written at once, unless said otherwise."""

WRITING_BYTES: Final = 8 * 1024 * 1024
"""Bytes of them, unless said otherwise."""


class SpoolWindow(Window):
    """What is being written of a route; it is full, too, while the spool is.

    It is not while the route is `finishing`: what was read then goes beyond the spool's limit.
    """

    spool: Spool | None = None
    finishing = False

    @property
    def full(self) -> bool:
        spool = None if self.finishing else self.spool
        return super().full or (spool is not None and spool.full)


@implementer(IOutlet)
class SpoolOutlet:
    """Writes the records of one route to the spool of ``service``, at most a `window` at once.

    A record is done when it is on disk. One that can't be written fails where the route answers
    its clients; where it does not, it is tried again, and the senders feel it.

    Counters: `stored` records, and `refused_by_spool`.
    """

    _log = Logger()
    _spool: Spool
    _drain: Drain

    def __init__(
        self,
        route: PushRoute,
        service: SpoolService,
        clock: IReactorTime,
        *,
        window: SpoolWindow | None = None,
    ) -> None:
        to = target(route.destination)
        self.route = route
        self.window = window or SpoolWindow(WRITING_RECORDS, WRITING_BYTES)
        self.stored = self.refused_by_spool = 0
        self._service = service
        self._clock = clock
        self._composer = Composer(route, to.routing_key)
        self._terms = Terms(
            uuid4().hex,
            to.mandatory if route.mandatory is None else route.mandatory,
            route.content_type,
            PERSISTENT if route.persistent else TRANSIENT,
        )
        self._next_number = 1
        self._writing: Writing | None = None

    def attach(self, client: AMQPClient) -> None:
        self._service.attach(self, client)

    def withdraw(self) -> None:
        """Take nothing more; what is in the spool is still published."""
        self._service.withdraw(self)

    def begin(self, spool: Spool, drain: Drain) -> None:
        """Write to ``spool``, from where ``drain`` publishes."""
        self._spool = self.window.spool = spool
        self._drain = drain
        self._writing = None

    def send(self, record: bytes) -> Deferred[None]:
        """Write ``record``; fire when it is on disk, fail with `SpoolError`."""
        routing_key, headers = self._composer.extract(record)
        writing = self._writing
        if writing is None or writing.sealed:
            writing = self._new_writing()
        self.window.take(len(record))
        block = writing.block
        self._next_number += 1
        self._spool.grow(block.add(record, routing_key, headers))
        done: Deferred[None] = Deferred()
        writing.outcomes.append(done)
        if block.full:
            self._writing = None
        return done

    def finish(self) -> Deferred[None]:
        """Let in what was read; fire when all that was sent is on disk, or was refused."""
        self.window.finishing = True
        self.window.let_in()
        return self.window.when_empty().addCallback(lambda _: self._finished())

    def _finished(self) -> None:
        self.window.finishing = False

    def _new_writing(self) -> Writing:
        block = Block(self._drain.new_id(), self._terms, self._next_number, self._clock.seconds())
        writing = self._writing = Writing(block, self._written, self._refused, self.route.ack)
        self._spool.add(writing)
        return writing

    def _written(self, writing: Writing) -> None:
        self.stored += len(writing.outcomes)
        for done, body in zip(writing.outcomes, writing.block.bodies, strict=True):
            done.callback(None)
            self.window.give_back(len(body))
        self._drain.written(writing.block)

    def _refused(self, writing: Writing, reason: Exception) -> None:
        self.refused_by_spool += len(writing.outcomes)
        if not self.route.ack:
            self._log.error(
                "{route}: {n} records are lost: {reason}",
                route=self.route,
                n=len(writing.outcomes),
                reason=reason,
            )
        for done, body in zip(writing.outcomes, writing.block.bodies, strict=True):
            done.errback(reason)
            self.window.give_back(len(body))
        self._drain.forget(writing.block)


class SpoolService(Service):
    """Has the spool in a folder open while it runs, and drains it through ``client``.

    What is there of routes that are no more is drained, too. Stopping writes what was taken, and
    waits for no broker: the rest stays in the spool. It starts before the routes, and when ``twistd
    --uid`` has given up what it may not keep: the files are of who writes them.
    """

    _log = Logger()

    def __init__(
        self,
        directory: Path,
        client: AMQPClient,
        reactor: Any,
        limit: int = SPOOL_LIMIT,
        *,
        open_spool: Callable[[Path, Any, int], Spool] = open_spool,
    ) -> None:
        self.spool: Spool | None = None
        self.drains: dict[str, Drain] = {}
        self._directory = directory
        self._client = client
        self._reactor = reactor
        self._limit = limit
        self._open = open_spool
        self._outlets: list[SpoolOutlet] = []
        self._last_route_id = 0

    def startService(self) -> None:
        """Open the spool.

        :raises StoreError: if it can't be used.
        """
        super().startService()
        if self.spool is None:
            self._start()

    def stopService(self) -> Deferred[None]:
        """Fire when what was taken is on disk, and the spool is closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def attach(self, outlet: SpoolOutlet, client: AMQPClient) -> None:
        """Let ``outlet`` write to the spool, once that is open; its client is the service's."""
        assert client is self._client
        self._outlets.append(outlet)
        if self.spool is not None:
            self._begin(outlet, self.spool)

    def withdraw(self, outlet: SpoolOutlet) -> None:
        """Let ``outlet``, which is done, go; what it has written is drained."""
        if outlet in self._outlets:
            self._outlets.remove(outlet)
            drain = self.drains.get(str(outlet.route))
            if drain is not None and drain.empty:
                self._emptied(drain)

    def _start(self) -> None:
        spool = self.spool = self._open(self._directory, self._reactor, self._limit)
        spool.on_room = self._let_in
        self._last_route_id = max((route.id for route in spool.stored), default=0)
        for route in spool.stored:
            self._add_drain(route, spool)
        for outlet in self._outlets:
            self._begin(outlet, spool)
        for drain in list(self.drains.values()):
            if drain.empty:
                self._emptied(drain)

    async def _stop(self) -> None:
        spool = self.spool
        if spool is None:
            return
        # All at once: what they do first keeps the end of the client from being their failure.
        # The routes, which stop before, have sent all that they read.
        drained = gatherResults(
            [Deferred.fromCoroutine(drain.stop()) for drain in self.drains.values()]
        )
        partly = await drained
        await spool.close(block for blocks in partly for block in blocks)
        self.spool = None
        self.drains.clear()

    def _begin(self, outlet: SpoolOutlet, spool: Spool) -> None:
        name = str(outlet.route)
        drain = self.drains.get(name)
        if drain is None:
            self._last_route_id = route_id = self._last_route_id + 1
            route = StoredRoute(
                *(route_id, name, str(outlet.route.destination)),
                highest=first_id(route_id),
                highest_refused=first_id(route_id, REFUSED),
            )
            spool.add_route(route)
            drain = self._add_drain(route, spool)
        outlet.begin(spool, drain)

    def _add_drain(self, route: StoredRoute, spool: Spool) -> Drain:
        if route.records:
            self._log.info(
                "{name}: {records} records of {size} bytes of {route} wait in the spool",
                name=spool.name,
                records=route.records,
                size=route.size,
                route=route.name,
            )
        drain = Drain(route, spool, self._reactor, on_empty=self._emptied)
        self.drains[route.name] = drain
        drain.attach(self._client)
        return drain

    def _emptied(self, drain: Drain) -> None:
        """Let a drain go that has nothing left, of a route that is no more."""
        wanted = any(str(each.route) == drain.name for each in self._outlets)
        if self.running and not wanted and self.drains.pop(drain.name, None) is not None:
            drain.withdraw()

    def _let_in(self) -> None:
        for outlet in self._outlets:
            outlet.window.let_in()
        self._outlets = self._outlets[1:] + self._outlets[:1]  # each is the first in its turn
