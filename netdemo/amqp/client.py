"""`AMQPClient`: the service that connects, backs off, comes back, and restores what it carries."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.amqp.attachment import Attachment
from netdemo.amqp.broker_url import BrokerURL
from netdemo.amqp.consumer import PREFETCH, Consumer
from netdemo.amqp.declaration import Declarations
from netdemo.amqp.opening import open_session, reason_of
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.session import HANDSHAKE_TIMEOUT
from netdemo.amqp.status import Observable, Status
from netdemo.errors import ChannelClosedByUs, ConnectionClosed
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.amqp.consumer import Handler
    from netdemo.amqp.interfaces import IChannelUser, ISession
    from netdemo.amqp.message import Message
    from netdemo.amqp.opening import MakeEndpoint
    from netdemo.amqp.topology import Topology
    from netdemo.errors import ConnectionBlocked

INITIAL_DELAY: Final = 0.2
MAX_DELAY: Final = 30.0
"""Seconds from one attempt to the next, before up to a second of jitter."""

STOP_TIMEOUT: Final = 10.0
"""Seconds that stopping waits for what is in hand."""


class AMQPClient(Observable, Service):
    """Keeps one AMQP connection to the first of several brokers that lets it in.

    Brokers are tried in turn. Failures are counted until AMQP is open, not until TCP is, and
    each makes the next delay longer. On each connection the topology is declared first. Every
    publisher and consumer has a channel of its own, which is opened again when it or the
    connection is lost.

    The state of `status` is one of ``connecting``, ``ready``, ``blocked`` (the broker takes
    nothing that is published, for an alarm of its own), ``waiting`` (for the next attempt) and
    ``stopped``; its reason is what ended the latest attempt or connection. `clock` is the time that
    it goes by.
    """

    _log = Logger()

    def __init__(
        self,
        urls: Sequence[str],
        reactor: Any,
        *,
        topology: Topology | None = None,
        publisher: Publisher | None = None,
        retry_policy: Callable[[int], float] | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        stop_timeout: float = STOP_TIMEOUT,
        endpoint: MakeEndpoint = BrokerURL.endpoint,
    ) -> None:
        """Prepare for the brokers at ``urls``; nothing is connected before the service starts.

        What the broker refuses of ``topology`` is logged, and tried again while all else goes on.
        ``publisher`` is the one behind `publish`, for another window than the default.
        ``retry_policy`` returns seconds to wait after so many failures in a row (1 is the first);
        ``backoffPolicy(0.5, 60.0)`` of ``twisted.application.internet`` makes one.
        ``endpoint`` builds what a broker is connected through, given its URL and the reactor.

        :raises BrokerURLError: for a malformed URL.
        """
        super().__init__(Status("stopped"))
        self._brokers = [BrokerURL.parse(url) for url in urls]
        if not self._brokers:
            raise ValueError("no broker URL: expected at least one")
        self._reactor = reactor
        self.clock: IReactorTime = reactor
        self._retry_policy = retry_policy or backoffPolicy(INITIAL_DELAY, MAX_DELAY, factor=2)
        self._handshake_timeout = handshake_timeout
        self._stop_timeout = stop_timeout
        self._endpoint = endpoint
        self._failures = 0
        self._session: ISession | None = None
        self._connecting: Deferred[None] = succeed(None)
        self._stopping: Waiters[None] | None = None
        self._users: dict[IChannelUser, Attachment | None] = {}
        self._waiting: list[tuple[Deferred[None], int | None]] = []
        self._declarations = Declarations(reactor, self._retry_policy)
        if topology is not None:
            self._declarations.add(topology).addErrback(lambda _: None)  # they log it
        self._publisher = publisher or Publisher()
        self.add(self._publisher)

    def startService(self) -> None:
        """Connect, and come back; after `stopService`, not before that has fired.

        Nothing happens when it runs already.
        """
        if self.running:
            return
        super().startService()
        if self._stopping is None:
            self._start()

    def stopService(self) -> Deferred[None]:
        """Finish what is in hand within ``stop_timeout`` seconds, then close; fire when closed.

        It goes on when the Deferred is cancelled.
        """
        super().stopService()
        if self._stopping is not None:
            return self._stopping.wait()
        self._stopping = Waiters()
        stopped = self._stopping.wait()
        stopping = Deferred.fromCoroutine(self._stop())
        stopping.addErrback(lambda failure: self._log.failure("stopping", failure))
        stopping.addCallback(lambda _: self._stopped())
        return stopped

    def when_ready(self, fail_after_failures: int | None = None) -> Deferred[None]:
        """Fire when AMQP is open, at once if it is.

        Fails with `ConnectionClosed` when the service is stopped, and, if it is given, after so
        many failures in a row.
        """
        if self._is_open:
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
        """Call ``handler`` with what ``queue`` has; fire with the consumer when it is accepted.

        It is restored when its channel or connection is lost, until `remove` is called with it.
        """
        consumer = Consumer(queue, handler, prefetch=prefetch)
        consuming = consumer.when_consuming()
        consuming.addErrback(self._not_consuming, consumer)
        self.add(consumer)
        return consuming.addCallback(lambda _: consumer)

    def declare(self, topology: Topology) -> Deferred[None]:
        """Declare ``topology`` as soon as AMQP is open, and again on every later connection.

        Fails with `DeclarationError`, in the broker's words, when it refuses some of it (which is
        tried again, and logged), and with `ConnectionClosed` when the service is stopped.
        """
        return self._declarations.add(topology)

    def undeclare(self, topology: Topology) -> None:
        """Declare ``topology`` no more, once this was called as often as `declare` was.

        What it declared stays, but for its exclusive queues, which are deleted.
        """
        self._declarations.remove(topology)

    def add(self, user: IChannelUser) -> None:
        """Give ``user`` a channel, now and on every later connection.

        On a new connection that is when every topology was declared, as far as the broker agrees
        and answers within the time for a handshake.

        :raises ValueError: when it was added before.
        """
        if user in self._users:
            raise ValueError(f"{user} was added before")
        self._users[user] = None
        user.start()
        if self._session is not None and self._is_open and self._stopping is None:
            self._attach(user, self._session)

    def remove(self, user: IChannelUser) -> None:
        """Close the channel of ``user``, which fails what it has in hand, and give it no other.

        Unacknowledged deliveries go back. Nothing happens when it was removed before.
        """
        if user in self._users:
            self._detach(user)
            self._users.pop(user, None)
            user.give_up(ChannelClosedByUs(f"{user} was removed from its client"))

    @property
    def _is_open(self) -> bool:
        return self.status.state in ("ready", "blocked")

    def _not_consuming(self, failure: Failure, consumer: Consumer) -> Failure:
        self.remove(consumer)
        return failure

    def _start(self) -> None:
        # A listener that stops the service at once has to find `_connecting`, to wait for it.
        begun: Deferred[None] = Deferred()
        self._connecting = Deferred.fromCoroutine(self._stay_connected(begun))
        self._connecting.addErrback(self._unless_cancelled)
        begun.callback(None)

    async def _stay_connected(self, begun: Deferred[None]) -> None:
        await begun
        self._failures = 0
        reason: ConnectionClosed | None = None
        for user in list(self._users):
            user.start()
        for broker in cycle(self._brokers):
            if self._stopping is None or self.status.state != "stopped":
                self._change_status(Status("connecting", reason, str(broker)))
            if self.status.state == "stopped":
                return
            try:
                session = await open_session(
                    broker, self._reactor, self._endpoint, self._handshake_timeout
                )
            except (CancelledError, ConnectingCancelledError):
                raise
            except Exception as error:
                self._failures += 1
                reason = reason_of(error)
            else:
                self._failures = 0
                reason = await self._use(session, broker)
            if self.status.state != "stopped":
                await self._wait(broker, reason)
            if self.status.state == "stopped":
                return

    async def _use(self, session: ISession, broker: BrokerURL) -> ConnectionClosed:
        self._session = session
        try:
            await self._declarations.attach(session).addTimeout(
                self._handshake_timeout, self._reactor
            )
        except DeferredTimeout:
            self._log.warn(
                "{broker}: the topology is not declared within {s:g} s; going on without",
                broker=broker,
                s=self._handshake_timeout,
            )
        if self.status.state == "connecting" and not session.closed.called:
            self._ready(session, broker)
        reason = await session.closed
        self._session = None
        self._declarations.detach()
        for user in list(self._users):
            self._detach(user)
        return reason

    def _ready(self, session: ISession, broker: BrokerURL) -> None:
        self._log.info("{broker}: ready", broker=broker)
        session.watch_blocked(lambda reason: self._blocked(reason, session, broker))
        self._blocked(session.blocked, session, broker)
        if not self._is_open:  # a listener has stopped the service
            return
        for user in list(self._users):
            self._attach(user, session)
        waiting, self._waiting = self._waiting, []
        for ready, _ in waiting:
            if not ready.called:  # else another's callback has cancelled it
                ready.callback(None)

    def _blocked(
        self, reason: ConnectionBlocked | None, session: ISession, broker: BrokerURL
    ) -> None:
        if session is not self._session or self.status.state == "stopped":
            return
        if reason is not None:
            self._log.warn(
                "{broker}: it takes nothing that is published: {reason}",
                broker=broker,
                reason=reason,
            )
        elif self.status.state == "blocked":
            self._log.info("{broker}: it takes what is published again", broker=broker)
        state = "ready" if reason is None else "blocked"
        self._change_status(Status(state, reason, str(broker)))

    async def _wait(self, broker: BrokerURL, reason: ConnectionClosed) -> None:
        delay = self._retry_policy(self._failures)
        self._log.warn(
            "{broker}: {reason}; next attempt in {delay:.1f} s",
            broker=broker,
            reason=reason,
            delay=delay,
        )
        self._change_status(Status("waiting", reason, str(broker)))
        self._fail_waiting(reason, self._failures)
        if self.status.state == "waiting":  # else one of those who waited has stopped the service
            await deferLater(self._reactor, delay)

    def _attach(self, user: IChannelUser, session: ISession) -> None:
        if user in self._users and self._users[user] is None:  # as another's `attach` has left it
            attachment = Attachment(user, session, self._reactor, self._retry_policy)
            self._users[user] = attachment
            attachment.begin()

    def _detach(self, user: IChannelUser) -> None:
        attachment = self._users.get(user)
        if attachment is not None:
            self._users[user] = None
            attachment.end()

    async def _stop(self) -> None:
        if self.status.state != "stopped":
            try:
                await self._drain().addTimeout(self._stop_timeout, self._reactor)
            except DeferredTimeout:
                self._log.warn("stopped with work in hand after {s} s", s=self._stop_timeout)
        self._change_status(Status("stopped"))
        if self._session is not None:
            await self._session.close()
        self._connecting.cancel()
        await self._connecting
        # Not before the channels have ended: a handler whose publish fails would refuse what
        # shall go back to the queue.
        reason = ConnectionClosed("the client was stopped")
        for user in list(self._users):
            user.give_up(reason)
        self._declarations.give_up(reason)
        self._fail_waiting(reason, None)

    def _stopped(self) -> None:
        stopping, self._stopping = self._stopping, None
        assert stopping is not None
        if self.running:  # started again meanwhile
            self._start()
        stopping.callback(None)

    def _drain(self) -> Deferred[None]:
        async def publishers_last() -> None:  # since handlers publish
            users = list(self._users)
            for drained in [each.drain() for each in users if not isinstance(each, Publisher)]:
                await drained
            for drained in [each.drain() for each in users if isinstance(each, Publisher)]:
                await drained

        return Deferred.fromCoroutine(publishers_last())

    def _fail_waiting(self, reason: ConnectionClosed, failures: int | None) -> None:
        waiting, self._waiting = self._waiting, []
        for ready, limit in waiting:
            if ready.called:  # another's errback has cancelled it
                continue
            if failures is None or (limit is not None and failures >= limit):
                ready.errback(reason)
            else:
                self._waiting.append((ready, limit))

    def _no_longer_waiting(self, ready: Deferred[None]) -> None:
        self._waiting = [entry for entry in self._waiting if entry[0] is not ready]

    def _unless_cancelled(self, failure: Failure) -> None:
        if not failure.check(CancelledError, ConnectingCancelledError):
            self._log.failure("keeping an AMQP connection failed", failure)
