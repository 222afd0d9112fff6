"""Call: every record from a TCP client is a request over RabbitMQ, answered with its reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger

from netdemo.address import QueueDestination
from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.amqp.destination import target
from netdemo.amqp.rpc import RPCClient
from netdemo.amqp.topology import Topology
from netdemo.amqp.window import Window
from netdemo.bridge.intake import IntakeFactory
from netdemo.errors import CallTimeout

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from netdemo.amqp.client import AMQPClient
    from netdemo.bridge.routes import CallRoute

CALLS: Final = 1000
"""Calls of a route under way at once, unless said otherwise; `RPCClient` refuses none of so few."""

CALL_BYTES: Final = 8 * 1024 * 1024
"""Bytes of their requests, and of replies that wait for an earlier one, unless said otherwise."""


class CallFactory(IntakeFactory):
    """Calls the servers of a call route for all its clients.

    A record that gets no reply is answered with ``ERR code reason``, at once where no queue takes
    it. A reply that begins with "ERR " of itself can't be told from that: where servers send such,
    their clients need a mark of their own in a reply. The result of a call whose client has left
    is dropped; whether the server did the work is unknown, as it is after a timeout.

    Counters: `replied` and `failed` calls.
    """

    _log = Logger()

    def __init__(
        self, route: CallRoute, client: AMQPClient, *, window: Window | None = None
    ) -> None:
        super().__init__(route, window or Window(CALLS, CALL_BYTES), client.clock)
        to = target(route.destination)
        self.client = client
        self.rpc = RPCClient(client)
        self.replied = self.failed = 0
        self._exchange = to.exchange
        self._routing_key = to.routing_key
        # An exchange is not looked for: while it is missing each call fails at once, and says so.
        queue = isinstance(route.destination, QueueDestination)
        self._topology = to.topology if queue else Topology()
        self._calls: set[Deferred[bytes]] = set()
        client.declare(self._topology).addErrback(lambda _: None)  # the client logs it

    def take(self, record: bytes) -> Deferred[bytes]:
        """Call with ``record``; fire with the reply, fail as `RPCClient.call` does."""
        call = self.rpc.call(
            self._routing_key, record, exchange=self._exchange, timeout=self.route.timeout
        )
        self.window.take(len(record))
        self._calls.add(call)
        return call.addBoth(self._done, call, len(record))

    def finish(self) -> Deferred[None]:
        """Fire when every call has its result; one without after `STOP_TIMEOUT` has timed out."""
        return Deferred.fromCoroutine(self._finish())

    def withdraw(self) -> None:
        self.client.remove(self.rpc)
        self.client.undeclare(self._topology)

    async def _finish(self) -> None:
        try:
            await self.window.when_empty().addTimeout(STOP_TIMEOUT, self.clock)
        except DeferredTimeout:
            self._log.warn(
                "{route}: {count} calls have no reply {s:g} s after it was stopped",
                route=self.route,
                count=len(self._calls),
                s=STOP_TIMEOUT,
            )
            for call in list(self._calls):
                call.cancel()
            await self.window.when_empty()

    def _done(self, result: bytes | Failure, call: Deferred[bytes], size: int) -> bytes | Failure:
        self._calls.discard(call)
        self.window.give_back(size)
        if isinstance(result, bytes):
            self.replied += 1
            return result
        self.failed += 1
        if result.check(CancelledError):
            raise CallTimeout("no reply before the bridge was stopped")
        return result
