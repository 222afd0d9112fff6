"""Serve: a TCP server answers the requests in a queue, one record for another."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger

from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.amqp.consumer import Reject
from netdemo.amqp.destination import source
from netdemo.amqp.rpc import RPCServer
from netdemo.bridge.dialling import RETRY_POLICY
from netdemo.bridge.framing import FRAMINGS, FramingError
from netdemo.bridge.route_service import RouteService
from netdemo.connecting import client_endpoint, connect, connection_reason
from netdemo.errors import NetdemoError, RemoteError
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.destination import Source
    from netdemo.amqp.message import Delivery
    from netdemo.bridge.framing import RecordRefused
    from netdemo.bridge.routes import ServeRoute
    from netdemo.transport import IStreamTransport

CLOSES_WITHIN: Final = 1.0
"""Seconds from an answer to the end of its connection in which the server is seen to close it."""


class ServerLost(NetdemoError):
    """The connection to a TCP server ended with a request out; what became of it is unknown."""


class ServerProtocol(Protocol):
    """Asks a TCP server: one record there and one back, and not before that another one there.

    What comes unasked, more than one record, or what is none that is taken ends the connection:
    later it could be taken for the answer to another request. So does giving up an answer. One
    that breaks off before its end is none: the server may have died over it.
    """

    transport: IStreamTransport
    _log = Logger()

    def __init__(self, pool: ServerPool) -> None:
        self.replies = 0
        self.replied_at = 0.0
        self.aborted = False
        self._pool = pool
        self._asking: Deferred[bytes] | None = None
        self._reply: bytes | None = None
        self._reason: BaseException | None = None
        self._ended: Waiters[BaseException] = Waiters()

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        route = self._pool.route
        self._framing = FRAMINGS[route.framing](self._received, self._refused, route.max_record)
        self._pool.free(self)

    def ask(self, request: bytes) -> Deferred[bytes]:
        """Write ``request``, which is framed; fire with the record that comes back.

        Fails with `RemoteError` for what is no reply, and with `ServerLost`. Cancelling it aborts
        the connection.
        """
        self._asking = Deferred(lambda _: self.abort())
        asking = self._asking
        self.transport.write(request)
        return asking

    def when_ended(self) -> Deferred[BaseException]:
        """Fire with the reason when the connection has ended, at once if it has."""
        return self._ended.wait() if self._reason is None else succeed(self._reason)

    def abort(self) -> None:
        """End the connection now; nobody is told of what is out."""
        self.aborted = True
        self._asking = None
        self._pool.drop(self)
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._asking is None:
            self._break("it sent something that it was not asked for")
            return
        self._framing.dataReceived(data)
        if self._reply is None or self._asking is None:
            return
        if self._framing.rest():
            self._break("it sent more than one record for a request")
            return
        reply, self._reply = self._reply, None
        asking, self._asking = self._asking, None
        self.replies += 1
        self.replied_at = self._pool.clock.seconds()
        self._pool.replied(self)
        asking.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        error = self._reason = reason.value
        assert error is not None
        self._pool.drop(self)
        asking, self._asking = self._asking, None
        self._ended.callback(error)
        if asking is not None:
            text = (
                f"the connection to the server ended before its reply: {connection_reason(error)}"
            )
            asking.errback(ServerLost(text))

    def _received(self, record: bytes) -> None:
        if self._reply is not None:
            self._break("it sent more than one record for a request")
        elif not self.aborted:
            self._reply = record

    def _refused(self, refusal: RecordRefused) -> None:
        self._break(str(refusal))

    def _break(self, reason: str) -> None:
        """Abort the connection for a fault of the server's."""
        if self.aborted:
            return  # a parser may go on after what was refused
        self._log.warn(
            "{route}: the server is cut off: {reason}", route=self._pool.route, reason=reason
        )
        asking = self._asking
        self.abort()
        if asking is not None:
            asking.errback(RemoteError(f"bad reply from the server: {reason}"))


class ServerPool:
    """Keeps as many connections to a TCP server as its route says, each for one request at a time.

    One that ends is made again: at once after it has replied, else later and later, and at once
    when a request waits for it. Why a first attempt fails, or the server ends it before a reply, is
    logged once, until the server replies again.

    When the server closes a connection after its first answer, it is waited for to close the next
    ones too before they are asked again, until one stays open for `CLOSES_WITHIN` seconds.
    """

    _log = Logger()

    def __init__(self, route: ServeRoute, reactor: Any) -> None:
        self.route = route
        self.clock: IReactorTime = reactor
        self._endpoint = client_endpoint(route.endpoint, reactor)
        # In the order in which they were made: a server that serves one connection after another,
        # and closes each, reads from the oldest.
        self._free: OrderedDict[ServerProtocol, None] = OrderedDict()
        self._waiting: OrderedDict[Deferred[ServerProtocol], None] = OrderedDict()
        self._wanted: Waiters[None] = Waiters()
        self._keeping: list[Deferred[None]] = []
        self._closes = False
        self._told: str | None = None

    def start(self) -> None:
        """Connect."""
        self._keeping = [Deferred.fromCoroutine(self._keep()) for _ in range(self.route.servers)]
        for keeping in self._keeping:
            keeping.addErrback(self._unless_cancelled)

    async def stop(self) -> None:
        """Abort what is left; return when no connection is."""
        keeping, self._keeping = self._keeping, []
        for each in keeping:
            each.cancel()
        for each in keeping:
            await each
        while self._waiting:
            waiting, _ = self._waiting.popitem(last=False)
            waiting.errback(ServerLost("there is no connection to the server any more"))

    def take(self) -> Deferred[ServerProtocol]:
        """Fire with a connection that is free, first come first served."""
        if self._free:
            return succeed(self._free.popitem(last=False)[0])
        waiting: Deferred[ServerProtocol] = Deferred(lambda each: self._waiting.pop(each))
        self._waiting[waiting] = None
        self._wanted.callback(None)
        return waiting

    def free(self, connection: ServerProtocol) -> None:
        """Give a connection to who waits for one, or keep it until one does."""
        if self._waiting:
            self._waiting.popitem(last=False)[0].callback(connection)
        else:
            self._free[connection] = None

    def replied(self, connection: ServerProtocol) -> None:
        """Free a connection that has replied, unless the server is going to close it."""
        self._told = None
        if not self._closes:
            self.free(connection)
            return
        ended = connection.when_ended().addTimeout(CLOSES_WITHIN, self.clock)
        ended.addCallbacks(lambda _: None, lambda _: self._stays_open(connection))
        ended.addErrback(lambda failure: self._log.failure("freeing a connection", failure))

    def _stays_open(self, connection: ServerProtocol) -> None:
        self._closes = False
        self.free(connection)

    def drop(self, connection: ServerProtocol) -> None:
        """Give the connection to nobody: it has ended."""
        self._free.pop(connection, None)

    async def _keep(self) -> None:
        """Keep one connection."""
        failures = 0
        while True:
            connection = ServerProtocol(self)
            reason = await self._connection_ends(connection)
            failures = 0 if connection.replies else failures + 1
            if failures:
                if not connection.aborted:  # by us, and why is told
                    self._tell(reason)
                failures = await self._pause(failures)

    async def _connection_ends(self, connection: ServerProtocol) -> BaseException:
        """Connect, and return the reason when it can't, or when the connection has ended."""
        try:
            await connect(self._endpoint, connection)
        except CancelledError:
            raise
        except Exception as error:
            return error
        try:
            reason = await connection.when_ended()
        except CancelledError:
            ended = connection.when_ended()
            connection.transport.abortConnection()
            await ended
            raise
        recent = self.clock.seconds() - connection.replied_at <= CLOSES_WITHIN
        if connection.replies == 1 and recent and not connection.aborted:
            self._closes = True
        return reason

    async def _pause(self, failures: int) -> int:
        """Wait before the next attempt; return the failures that there are, 0 if it is wanted."""
        try:
            await self._wanted.wait().addTimeout(RETRY_POLICY(failures), self.clock)
        except DeferredTimeout:
            return failures
        return 0

    def _tell(self, error: BaseException) -> None:
        reason = connection_reason(error)
        if reason != self._told:
            self._told = reason
            self._log.warn(
                "{route}: no connection to the server: {reason}; trying again and again",
                route=self.route,
                reason=reason,
            )

    def _unless_cancelled(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("keeping a connection failed", failure)


class ServeService(RouteService):
    """Takes requests from the queue of a serve route, and asks its TCP server, while it runs.

    A request whose connection breaks goes back to the queue, once: that of one which was delivered
    before, and is asked on a new connection, is answered with an error, lest it kill the server
    for ever. What else fails is answered with an error at once. A served request may have been
    served before; of a caller that is gone `RPCServer` takes care.

    Counters: `answered` requests, `failed` ones, which were answered with an error, and `requeued`.
    """

    route: ServeRoute
    _log = Logger()
    _server: RPCServer | None = None

    def __init__(
        self,
        route: ServeRoute,
        client: AMQPClient,
        reactor: Any,
        taken_over: Source | None = None,
    ) -> None:
        super().__init__(route)
        self.pool = ServerPool(route, reactor)
        self.answered = self.failed = self.requeued = 0
        self._client = client
        self._clock: IReactorTime = reactor
        self._source = taken_over or source(route.destination)
        # Also while it does not run: what is published meanwhile shall wait there.
        client.declare(self._source.topology).addErrback(lambda _: None)  # the client logs it

    @property
    def source(self) -> Source | None:
        return self._source

    def startService(self) -> None:
        super().startService()
        self.pool.start()
        self._server = RPCServer(
            self._client,
            self._source.queue,
            self._serve,
            prefetch=self.route.servers,
            max_reply=self.route.max_record,
            topology=self._source.topology,
        )

    def stopService(self) -> Deferred[None]:
        """Finish the requests in hand within `STOP_TIMEOUT`, and close; the rest goes back."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def withdraw(self) -> None:
        self._client.undeclare(self._source.topology)

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            try:
                await server.consumer.drain().addTimeout(STOP_TIMEOUT, self._clock)
            except DeferredTimeout:
                self._log.warn(
                    "{route}: stopped with requests in hand after {s:g} s",
                    route=self.route,
                    s=STOP_TIMEOUT,
                )
            server.remove()
        await self.pool.stop()

    async def _serve(self, delivery: Delivery) -> bytes:
        try:
            reply = await self._reply(delivery)
        except ServerLost as error:
            if self.running and delivery.redelivered:
                self._tell_of(delivery, "is answered with an error", error)
                self.failed += 1
                raise RemoteError(str(error)) from error
            self._tell_of(delivery, "goes back to the queue", error)
            self.requeued += 1
            raise Reject(requeue=True) from error
        except RemoteError as error:
            self._tell_of(delivery, "is answered with an error", error)
            self.failed += 1
            raise
        self.answered += 1
        return reply

    async def _reply(self, delivery: Delivery) -> bytes:
        try:
            request = FRAMINGS[self.route.framing].encode(delivery.message.body)
        except FramingError as error:
            raise RemoteError(f"bad request: {error}") from error
        timeout = self.route.timeout
        connecting = Deferred.fromCoroutine(self._connection(new=delivery.redelivered))
        try:
            connection = await connecting.addTimeout(timeout, self._clock)
        except DeferredTimeout as error:
            raise RemoteError(f"no connection to the server within {timeout:g} s") from error
        try:
            return await connection.ask(request).addTimeout(timeout, self._clock)
        except DeferredTimeout as error:
            raise RemoteError(f"no reply from the server within {timeout:g} s") from error

    async def _connection(self, new: bool) -> ServerProtocol:
        connection = await self.pool.take()
        while new and connection.replies:
            connection.abort()
            connection = await self.pool.take()
        return connection

    def _tell_of(self, delivery: Delivery, fate: str, reason: Exception) -> None:
        self._log.warn(
            "{route}: request {message_id!r} {fate}: {reason}",
            route=self.route,
            message_id=delivery.message.message_id,
            fate=fate,
            reason=reason,
        )
