"""`AMQPClient`: the service that connects, backs off, comes back, and restores what it carries."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.amqp.broker_url import BrokerURL
from netdemo.amqp.consumer import PREFETCH, Consumer
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.session import HANDSHAKE_TIMEOUT, Session
from netdemo.errors import ChannelClosed, ChannelClosedByUs, ChannelLost, ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IStreamClientEndpoint
    from twisted.python.failure import Failure

    from netdemo.amqp.consumer import Handler
    from netdemo.amqp.interfaces import IChannel, IChannelUser, ISession
    from netdemo.amqp.message import Message
    from netdemo.amqp.topology import Topology

INITIAL_DELAY: Final = 0.2
MAX_DELAY: Final = 30.0
"""Seconds from one attempt to the next, before up to a second of jitter."""

STOP_TIMEOUT: Final = 10.0
"""Seconds that stopping waits for what is in hand."""


class AMQPClient(Service):
    """Keeps one AMQP connection to the first of several brokers that lets it in.

    Brokers are tried in turn. Failures are counted until AMQP is open, not until TCP is, and
    each makes the next delay longer. Every publisher and consumer has a channel of its own, which
    is opened again, with its topology, when it or the connection is lost.

    `state` is one of ``connecting``, ``ready``, ``waiting`` and ``stopped``; `reason` is what
    ended the latest attempt or connection.
    """

    _log = Logger()

    def __init__(
        self,
        urls: Sequence[str],
        reactor: Any,
        *,
        retry_policy: Callable[[int], float] | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        stop_timeout: float = STOP_TIMEOUT,
        endpoint: Callable[[BrokerURL, Any], IStreamClientEndpoint] = BrokerURL.endpoint,
    ) -> None:
        """Prepare for the brokers at `urls`; nothing is connected before the service starts.

        `retry_policy` returns seconds to wait after so many failures in a row (1 is the first).
        `endpoint` builds what a broker is connected through, given its URL and the reactor.

        :raises BrokerURLError: for a malformed URL.
        """
        self._brokers = [BrokerURL.parse(url) for url in urls]
        if not self._brokers:
            raise ValueError("no broker URL: expected at least one")
        self._reactor = reactor
        self._retry_policy = retry_policy or backoffPolicy(INITIAL_DELAY, MAX_DELAY, factor=2)
        self._handshake_timeout = handshake_timeout
        self._stop_timeout = stop_timeout
        self._endpoint = endpoint
        self.state = "stopped"
        self.reason: ConnectionClosed | None = None
        self._failures = 0
        self._session: ISession | None = None
        self._connecting: Deferred[None] = succeed(None)
        self._users: dict[IChannelUser, Deferred[None]] = {}
        self._waiting: list[tuple[Deferred[None], int | None]] = []
        self._publisher = Publisher()
        self.add(self._publisher)

    def startService(self) -> None:
        super().startService()
        self._connecting = Deferred.fromCoroutine(self._stay_connected())
        self._connecting.addErrback(self._unless_cancelled)

    def stopService(self) -> Deferred[None]:
        """Finish what is in hand within `stop_timeout` seconds, then close; fire when closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def when_ready(self, fail_after_failures: int | None = None) -> Deferred[None]:
        """Fire when AMQP is open, at once if it is.

        Fails with `ConnectionClosed` when the service is stopped, and, if it is given, after so
        many failures in a row.
        """
        if self.state == "ready":
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._no_longer_waiting)
        self._waiting.append((waiting, fail_after_failures))
        return waiting

    def publish(
        self, message: Message, exchange: str = "", routing_key: str = "", mandatory: bool = True
    ) -> Deferred[None]:
        """Publish on the client's own channel; see `Publisher.publish`."""
        return self._publisher.publish(message, exchange, routing_key, mandatory)

    def consume(self, queue: str, handler: Handler, prefetch: int = PREFETCH) -> Deferred[Consumer]:
        """Call `handler` with what comes from `queue`; fire with the consumer when it is accepted.

        It is restored when its channel or connection is lost, until `remove` is called with it.
        """
        consumer = Consumer(queue, handler, prefetch=prefetch)
        self.add(consumer)
        return consumer.when_consuming().addCallback(lambda _: consumer)

    def declare(self, topology: Topology) -> Deferred[None]:
        """Declare `topology` once, as soon as AMQP is open.

        Fails with `ChannelClosed`, in the broker's words, at the first item that it refuses.
        """
        return Deferred.fromCoroutine(self._declare(topology))

    def add(self, user: IChannelUser) -> None:
        """Give `user` a channel, now and on every later connection."""
        self._users[user] = succeed(None)
        if self._session is not None:
            self._attach(user, self._session)

    def remove(self, user: IChannelUser) -> None:
        """Close the channel of `user`, unacknowledged deliveries go back, and give it no other."""
        self._users.pop(user, succeed(None)).cancel()

    async def _declare(self, topology: Topology) -> None:
        await self.when_ready()
        assert self._session is not None
        channel = await self._session.open_channel()
        try:
            await topology.declare(channel)
        finally:
            await channel.close()

    async def _stay_connected(self) -> None:
        self._failures = 0
        for broker in cycle(self._brokers):
            self.state = "connecting"
            try:
                session = await self._connect(broker)
            except ConnectionClosed as error:
                self._failures += 1
                self.reason = error
            except (ConnectError, OSError) as error:
                self._failures += 1
                self.reason = ConnectionClosed(str(error).rstrip("."))
            else:
                self._failures = 0
                self.reason = await self._use(session, broker)
            if self.state != "stopped":
                await self._wait(broker)
            if self.state == "stopped":
                return

    async def _connect(self, broker: BrokerURL) -> ISession:
        session = Session(broker.parameters, self._reactor, self._handshake_timeout)
        factory = Factory.forProtocol(lambda: session)
        factory.noisy = False
        await self._endpoint(broker, self._reactor).connect(factory)
        return await session.opened

    async def _use(self, session: ISession, broker: BrokerURL) -> ConnectionClosed:
        self._log.info("{broker}: ready", broker=broker)
        self.state = "ready"
        self._session = session
        for user in list(self._users):
            self._attach(user, session)
        waiting, self._waiting = self._waiting, []
        for ready, _ in waiting:
            ready.callback(None)
        try:
            return await session.closed
        finally:
            self._session = None
            for attached in self._users.values():
                attached.cancel()

    async def _wait(self, broker: BrokerURL) -> None:
        self.state = "waiting"
        delay = self._retry_policy(self._failures)
        self._log.warn(
            "{broker}: {reason}; next attempt in {delay:.1f} s",
            broker=broker,
            reason=self.reason,
            delay=delay,
        )
        assert self.reason is not None
        self._fail_waiting(self.reason, self._failures)
        if self.state == "waiting":  # else one of those who waited has stopped the service
            await deferLater(self._reactor, delay)

    def _attach(self, user: IChannelUser, session: ISession) -> None:
        attached = Deferred.fromCoroutine(self._keep_attached(user, session))
        self._users[user] = attached.addErrback(self._unless_cancelled)

    async def _keep_attached(self, user: IChannelUser, session: ISession) -> None:
        failures = 0
        while True:
            reason, worked = await self._work(user, session)
            if isinstance(reason, ChannelLost | ChannelClosedByUs):
                return
            failures = 0 if worked else failures + 1
            delay = self._retry_policy(failures)
            self._log.warn(
                "{user}: {reason}; next attempt in {delay:.1f} s",
                user=user,
                reason=reason,
                delay=delay,
            )
            await deferLater(self._reactor, delay)

    async def _work(self, user: IChannelUser, session: ISession) -> tuple[ChannelClosed, bool]:
        """Let `user` work on one channel; return why it ended, and whether it had begun."""
        reason: ChannelClosed = ChannelClosedByUs("closed by us")
        channel: IChannel | None = None
        worked = False
        try:
            channel = await session.open_channel()
            await user.topology.declare(channel)
            await user.attach(channel)
            worked = True
            reason = await channel.closed
        except ChannelClosed as closed:
            reason = closed
        finally:
            if channel is not None:
                user.detach(reason)
                channel.close().addErrback(self._unless_cancelled)
        return reason, worked

    async def _stop(self) -> None:
        try:
            await self._drain().addTimeout(self._stop_timeout, self._reactor)
        except DeferredTimeout:
            self._log.warn("stopped with work in hand after {s} s", s=self._stop_timeout)
        self.state = "stopped"
        reason = ConnectionClosed("the client was stopped")
        for user in list(self._users):
            user.give_up(reason)
        if self._session is not None:
            await self._session.close()
        self._connecting.cancel()
        self._fail_waiting(reason, None)

    def _drain(self) -> Deferred[None]:
        async def one_after_another() -> None:
            # Those that were added later may publish with those that were added earlier.
            for user in reversed(list(self._users)):
                await user.drain()

        return Deferred.fromCoroutine(one_after_another())

    def _fail_waiting(self, reason: ConnectionClosed, failures: int | None) -> None:
        waiting, self._waiting = self._waiting, []
        for ready, limit in waiting:
            if failures is None or (limit is not None and failures >= limit):
                ready.errback(reason)
            else:
                self._waiting.append((ready, limit))

    def _no_longer_waiting(self, ready: Deferred[None]) -> None:
        self._waiting = [entry for entry in self._waiting if entry[0] is not ready]

    def _unless_cancelled(self, failure: Failure) -> None:
        if not failure.check(CancelledError, ConnectingCancelledError):
            self._log.failure("keeping an AMQP connection failed", failure)
