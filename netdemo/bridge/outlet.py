"""Where the records of a push route go: straight to the broker, until it has confirmed them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from netdemo.amqp.destination import target
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.window import Window
from netdemo.bridge.composing import Composer
from netdemo.bridge.interfaces import IOutlet
from netdemo.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.message import Message
    from netdemo.bridge.routes import PushRoute

RETRY_POLICY: Final = backoffPolicy(initialDelay=0.5, maxDelay=30.0, factor=2)
"""Seconds until a record that the broker did not take is published again."""

QUIET: Final = 10.0
"""Seconds from one line about refused messages of a route to the next: there may be a million."""

WINDOW: Final = 20_000
"""Records of a route under way at once.

RabbitMQ 3.10 confirms what is persistent when its queue has nothing else to do, or every 200 ms:
with fewer it and the bridge wait for each other. Each takes 1.5 KB while it is under way.
"""

ROOM: Final = WINDOW // 4
"""Records for which there is room again when those who wait may send."""


@implementer(IOutlet)
class Outlet:
    """Publishes the records of one route, at most a `window` of them at once.

    A record that the broker does not take fails where the route answers its clients. Where it
    does not, nobody could be told: it is logged and published again, later and later, and keeps
    its place in the window, so that the senders feel it.

    Counters: `confirmed` records, and `refused_by_broker`, attempts.
    """

    _log = Logger()
    _client: AMQPClient | None = None

    def __init__(
        self,
        route: PushRoute,
        clock: IReactorTime,
        *,
        window: Window | None = None,
        retry_policy: Callable[[int], float] = RETRY_POLICY,
    ) -> None:
        to = target(route.destination)
        self.route = route
        self.window = window or Window(WINDOW, room=ROOM)
        self.publisher = Publisher(to.topology, window=Window(WINDOW), name=str(route))
        self.confirmed = self.refused_by_broker = 0
        self._composer = Composer(route, to.routing_key)
        self._exchange = to.exchange
        self._mandatory = to.mandatory if route.mandatory is None else route.mandatory
        self._clock = clock
        self._retry_policy = retry_policy
        self._pauses: set[Deferred[None]] = set()
        self._finishing = False
        self._quiet_until = 0.0

    def attach(self, client: AMQPClient) -> None:
        """Publish through ``client`` from now on."""
        client.add(self.publisher)
        self._client = client

    def withdraw(self) -> None:
        """Publish no more."""
        if self._client is not None:
            self._client.remove(self.publisher)

    def send(self, record: bytes) -> Deferred[None]:
        """Publish ``record``; fire when the broker has it, fail with `PublishError`."""
        message, routing_key = self._composer.compose(record)
        self.window.take(len(record))
        return self._publish(message, routing_key).addBoth(self._settled, message, routing_key)

    def finish(self) -> Deferred[None]:
        """Fire when every record has its outcome; nothing is published again meanwhile."""
        self._finishing = True
        for pause in list(self._pauses):
            pause.cancel()
        return self.window.when_empty().addCallback(lambda _: self._finished())

    def _finished(self) -> None:
        self._finishing = False

    def _publish(self, message: Message, routing_key: str) -> Deferred[None]:
        return self.publisher.publish(message, self._exchange, routing_key, self._mandatory)

    def _settled(
        self, outcome: object, message: Message, routing_key: str
    ) -> Failure | Deferred[None] | None:
        """Count a record out. One callback for both: thousands of records have theirs at once."""
        if isinstance(outcome, Failure):
            return self._not_published(outcome, message, routing_key)
        self._published(None, len(message.body))
        return None

    def _not_published(
        self, failure: Failure, message: Message, routing_key: str
    ) -> Failure | Deferred[None]:
        size = len(message.body)
        self.refused_by_broker += 1
        self._log_refused(message, failure)
        if self.route.ack:
            self.window.give_back(size)
            return failure
        again = Deferred.fromCoroutine(self._publish_again(message, routing_key, failure))
        return again.addCallbacks(self._published, self._lost, (size,), errbackArgs=(size,))

    def _log_refused(self, message: Message, failure: Failure) -> None:
        if self._clock.seconds() >= self._quiet_until:
            self._quiet_until = self._clock.seconds() + QUIET
            self._log.warn(
                "{route}: message {message_id} was not published: {reason}; {count} so far",
                route=self.route,
                message_id=message.message_id,
                reason=failure.value,
                count=self.refused_by_broker,
            )

    async def _publish_again(self, message: Message, routing_key: str, refusal: Failure) -> None:
        attempt = 0
        while not self._finishing:
            attempt += 1
            try:
                await self._pause(self._retry_policy(attempt))
                await self._publish(message, routing_key)
                return
            except PublishError:
                self.refused_by_broker += 1
            except CancelledError:
                break
        refusal.raiseException()

    def _pause(self, seconds: float) -> Deferred[None]:
        pause: Deferred[None] = deferLater(self._clock, seconds)
        self._pauses.add(pause)
        return pause.addBoth(self._paused, pause)

    def _paused(self, result: Failure | None, pause: Deferred[None]) -> Failure | None:
        self._pauses.discard(pause)
        return result

    def _published(self, _: None, size: int) -> None:
        self.confirmed += 1
        self.window.give_back(size)

    def _lost(self, failure: Failure, size: int) -> Failure:
        self._log.error("{route}: a record is lost: {f.value}", route=self.route, f=failure)
        self.window.give_back(size)
        return failure
