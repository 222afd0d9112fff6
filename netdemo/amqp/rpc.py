"""Remote procedure calls over RabbitMQ: a request to a queue, and its reply to who asked.

The pattern is that of RabbitMQ's tutorial, so either end may be another program: `reply_to` of a
request says where its reply goes, and the reply carries its `correlation_id`. A reply whose
property ``type`` is `ERROR_TYPE` tells of an error, with the text for a body, in UTF-8.

A server handles a request at least once: again, when the connection is lost before the reply is
confirmed. A caller gets one result: the first reply that comes in time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import ceil
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.logger import Logger
from twisted.python.reflect import safe_str
from zope.interface import implementer

from netdemo.amqp.consumer import PREFETCH, Consumer, Reject
from netdemo.amqp.interfaces import IChannelUser
from netdemo.amqp.message import TRANSIENT, Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.topology import Queue, Topology
from netdemo.errors import (
    CallTimeout,
    ConsumerCancelled,
    NotSentError,
    OutcomeUnknownError,
    PublishError,
    RemoteError,
    TooManyCalls,
    UnroutableError,
)
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.python.failure import Failure

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.interfaces import IChannel
    from netdemo.amqp.message import Delivery
    from netdemo.errors import AMQPError, ChannelClosed

    CallHandler = Callable[
        [Delivery], bytes | Deferred[bytes] | Coroutine[Deferred[Any], Any, bytes]
    ]

CALL_TIMEOUT: Final = 30.0
"""Seconds that a call waits for its reply, unless said otherwise."""

MAX_TIMEOUT: Final = 4_294_967.0
"""Seconds that a call may wait: the longest expiration has 32 bits of milliseconds."""

MAX_CALLS: Final = 10_000
"""Calls of a client that wait for their replies at once, unless said otherwise."""

MAX_REPLY: Final = 16 * 1024 * 1024
"""Bytes of a server's reply, unless said otherwise: RabbitMQ 4 takes no longer message."""

ERROR_TYPE: Final = "netdemo.error"
"""The property ``type`` of a reply that tells of an error."""

DIRECT_REPLY_TO: Final = "amq.rabbitmq.reply-to"
"""RabbitMQ's pseudo-queue. A server sees it followed by a dot and what stands for the caller."""

INTERNAL_ERROR: Final = 541
"""Reply code of a connection that ends for a fault of the broker's (AMQP 0-9-1, section 1.2)."""

SUSPECTS: Final = 1000
"""Requests that a server remembers for what their replies may have done to the connection."""

_REPLY_QUEUE: Final = Queue("", durable=False, exclusive=True, auto_delete=True)
"""A queue that RabbitMQ names, and that goes with the channel that consumes from it."""


@attrs.define(eq=False)
class _Call:
    """A call that waits for its reply, with which `done` fires; not sent without `publishing`."""

    correlation_id: str
    message: Message
    exchange: str
    routing_key: str
    deadline: float
    done: Deferred[bytes]
    publishing: Deferred[None] | None = None


@implementer(IChannelUser)
class RPCClient:
    """Calls servers through ``client``, until ``client.remove`` has it: make one, keep it.

    Replies come by RabbitMQ's direct reply-to, or, if it is not ``direct``, by a queue of its own.

    `late` counts replies to calls that had ended, `foreign` those that belong to no call of the
    latest; both are dropped. As many ended calls are remembered as may wait, ``max_calls``.
    """

    _log = Logger()

    def __init__(
        self, client: AMQPClient, *, direct: bool = True, max_calls: int = MAX_CALLS
    ) -> None:
        self.topology = Topology()
        self.late = 0
        self.foreign = 0
        self._direct = direct
        self._max_calls = max_calls
        self._clock = client.clock
        # A request that is sent twice is served twice; and who lost its reply_to waits in vain.
        self._publisher = Publisher(republish=False)
        self._reply_to: str | None = None
        self._calls: dict[str, _Call] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._stopped: AMQPError | None = None
        self._drained: Waiters[None] = Waiters()
        client.add(self)

    def __str__(self) -> str:
        return "RPC client"

    def call(
        self,
        queue: str,
        body: bytes | Message,
        *,
        exchange: str = "",
        timeout: float = CALL_TIMEOUT,
    ) -> Deferred[bytes]:
        """Send ``body`` to the server of ``queue``; fire with the body of its reply.

        With an ``exchange``, ``queue`` is the routing key; one that does not exist also costs the
        calls that are being sent. A request in bytes is transient; a `Message` is sent as it is,
        but for what makes it a request. RabbitMQ drops it when the time is over.

        Fails with `RemoteError` in the server's words, `CallTimeout` after ``timeout`` seconds,
        the wait for a connection included, `UnroutableError`, `NackedError` or `NotSentError`
        when the request reached no queue, `OutcomeUnknownError` when the connection is lost
        after it was sent, and `TooManyCalls`. Cancelling it gives up the reply, and the request
        if it was not sent yet.

        :raises ValueError: for a timeout that is not above 0, or above `MAX_TIMEOUT`.
        """
        if not 0 < timeout <= MAX_TIMEOUT:
            raise ValueError(f"bad timeout {timeout}: expected more than 0, at most {MAX_TIMEOUT}")
        message = body if isinstance(body, Message) else Message(body, delivery_mode=TRANSIENT)
        if self._stopped is not None:
            return fail(NotSentError(self._stopped.reply_text, message))
        if len(self._calls) >= self._max_calls:
            return fail(TooManyCalls(f"{len(self._calls)} calls wait for their replies already"))
        done: Deferred[bytes] = Deferred(lambda _: self._drop(call))
        deadline = self._clock.seconds() + timeout
        call = _Call(token_hex(16), message, exchange, queue, deadline, done)
        self._calls[call.correlation_id] = call
        done.addTimeout(timeout, self._clock, lambda _, s: _timed_out(call, s))
        self._send(call)
        return done

    def start(self) -> None:
        self._stopped = None
        self._publisher.start()

    async def attach(self, channel: IChannel) -> None:
        reply_to = DIRECT_REPLY_TO if self._direct else await channel.queue_declare(_REPLY_QUEUE)
        # Before anything is published: RabbitMQ refuses a direct reply-to that nobody consumes.
        await channel.consume(
            reply_to, self._replied, lambda: self._cancelled(channel), no_ack=True
        )
        await self._publisher.attach(channel)
        self._reply_to = reply_to
        for call in list(self._calls.values()):
            if self._waits(call):  # else another's errback has cancelled it
                self._send(call)

    def detach(self, reason: ChannelClosed) -> None:
        self._reply_to = None
        self._publisher.detach(reason)
        for call in list(self._calls.values()):
            if call.publishing is None or not self._waits(call):
                continue
            if call.publishing.called:
                unknown = OutcomeUnknownError(reason.reply_text, call.message, reason.reply_code)
                self._end(call, unknown)
            else:  # it had no room yet, and goes out with the next channel's `reply_to`
                call.publishing.cancel()
                call.publishing = None

    def drain(self) -> Deferred[None]:
        drained = self._drained.wait()
        self._look_whether_drained()
        return drained

    def give_up(self, reason: AMQPError) -> None:
        self._stopped = reason
        self._publisher.give_up(reason)
        for call in list(self._calls.values()):
            if self._waits(call):
                # One was sent if it was another's errback, in `detach`, that has brought us here.
                error = NotSentError if call.publishing is None else OutcomeUnknownError
                self._end(call, error(reason.reply_text, call.message))

    def _waits(self, call: _Call) -> bool:
        return call.correlation_id in self._calls

    def _send(self, call: _Call) -> None:
        if self._reply_to is None:
            return
        left = ceil(1000 * (call.deadline - self._clock.seconds()))
        request = attrs.evolve(
            call.message,
            correlation_id=call.correlation_id,
            reply_to=self._reply_to,
            expiration=str(max(left, 1)),
        )
        call.publishing = self._publisher.publish(request, call.exchange, call.routing_key)
        call.publishing.addErrback(self._not_sent, call)

    def _not_sent(self, failure: Failure, call: _Call) -> None:
        if self._waits(call) and not failure.check(CancelledError):
            self._end(call, failure)

    def _replied(self, delivery: Delivery) -> None:
        reply = delivery.message
        call = self._calls.get(reply.correlation_id or "")
        if call is None:
            if reply.correlation_id in self._ended:
                self.late += 1
            else:
                self.foreign += 1
        elif reply.type == ERROR_TYPE:
            self._end(call, RemoteError(reply.body.decode(errors="replace")))
        else:
            self._end(call, reply.body)

    def _end(self, call: _Call, result: bytes | Exception | Failure) -> None:
        self._forget(call)
        if isinstance(result, bytes):
            call.done.callback(result)
        else:
            call.done.errback(result)
        self._look_whether_drained()

    def _drop(self, call: _Call) -> None:
        """Wait no more for a call that is cancelled, or whose time is over."""
        self._forget(call)
        if call.publishing is not None:
            call.publishing.cancel()
        self._look_whether_drained()

    def _forget(self, call: _Call) -> None:
        del self._calls[call.correlation_id]
        self._ended[call.correlation_id] = None
        if len(self._ended) > self._max_calls:
            self._ended.popitem(last=False)

    def _cancelled(self, channel: IChannel) -> None:
        reason = ConsumerCancelled("the broker cancelled the consumer of replies")
        channel.close(reason).addErrback(lambda f: self._log.failure("closing", f))

    def _look_whether_drained(self) -> None:
        if not self._calls:
            self._drained.callback(None)


class RPCServer:
    """Answers requests in ``queue`` with what ``handler`` makes of them, ``prefetch`` at a time.

    The handler gets the `Delivery` and returns bytes, or a Deferred or a coroutine of bytes. What
    it raises is the error that the caller gets, and is logged, but for `RemoteError`; `Reject`
    refuses the request, and the caller gets no reply. A result that is not bytes, or more than
    ``max_reply`` of them, is an error too.

    A request is acknowledged when its reply is confirmed. One that can't be answered, for want of
    a `reply_to` for example, is rejected, and dead-lettered where the queue has it so. `gone`
    counts replies that found no caller's queue; RabbitMQ does not tell that of a direct reply-to.
    """

    _log = Logger()

    def __init__(
        self,
        client: AMQPClient,
        queue: str,
        handler: CallHandler,
        *,
        prefetch: int = PREFETCH,
        max_reply: int = MAX_REPLY,
        topology: Topology | None = None,
    ) -> None:
        self.gone = 0
        self.consumer = Consumer(queue, self._serve, prefetch=prefetch, topology=topology)
        self._client = client
        self._handler = handler
        self._max_reply = max_reply
        # Not the client's own: RabbitMQ ends the connection for a direct reply-to that it can't
        # decode (3.10: 541 INTERNAL_ERROR), so to publish it again would be to never come back.
        self._publisher = Publisher(republish=False, name=f"{self}, its replies")
        self._suspects: deque[tuple[str | None, ...]] = deque(maxlen=SUSPECTS)
        client.add(self._publisher)
        client.add(self.consumer)

    def __str__(self) -> str:
        return f"RPC server of {self.consumer.queue!r}"

    def remove(self) -> None:
        """Serve no more; what is in hand goes back to the queue."""
        self._client.remove(self.consumer)
        self._client.remove(self._publisher)

    async def _serve(self, delivery: Delivery) -> None:
        request = delivery.message
        if not request.reply_to:
            self._reject(request, "it has no reply_to")
        if _identity(request) in self._suspects:
            self._reject(request, "the connection was lost over its reply_to, or one beside it")
        reply = await self._reply(delivery)
        try:
            await self._answer(request.reply_to, request, reply)
        except PublishError as error:
            self._log.warn("{server}: reply not confirmed: {error}", server=self, error=error)
            raise Reject(requeue=not delivery.redelivered) from error

    def _reject(self, request: Message, reason: str) -> NoReturn:
        self._log.warn(
            "{server}: request {message_id!r} is rejected: {reason}",
            server=self,
            message_id=request.message_id,
            reason=reason,
        )
        raise Reject

    async def _reply(self, delivery: Delivery) -> Message:
        request = delivery.message
        try:
            body = await maybeDeferred(self._handler, delivery)
        except Reject:
            raise
        except RemoteError as error:
            return _error_reply(request, str(error))
        except Exception as error:
            self._log.failure("{server}: the handler failed", server=self)
            return _error_reply(request, f"{type(error).__name__}: {safe_str(error)}")
        if not isinstance(body, bytes):
            text = f"the handler returned {type(body).__name__}: expected bytes"
        elif len(body) > self._max_reply:
            text = f"a reply of {len(body)} bytes: expected at most {self._max_reply}"
        else:
            return _reply(request, body)
        self._log.error("{server}: {text}", server=self, text=text)
        return _error_reply(request, text)

    async def _answer(self, reply_to: str, request: Message, reply: Message) -> None:
        try:
            await self._publish(reply_to, request, reply)
        except NotSentError as error:  # more than the broker takes, for example
            text = f"the reply could not be sent: {error}"
            await self._publish(reply_to, request, _error_reply(request, text))

    async def _publish(self, reply_to: str, request: Message, reply: Message) -> None:
        # RabbitMQ returns what is mandatory and goes to a direct reply-to, though it arrives.
        direct = reply_to.startswith(f"{DIRECT_REPLY_TO}.")
        try:
            await self._publisher.publish(reply, "", reply_to, mandatory=not direct)
        except UnroutableError:
            self.gone += 1
        except OutcomeUnknownError as error:
            if direct and error.reply_code == INTERNAL_ERROR:
                self._suspects.append(_identity(request))
            raise


def _timed_out(call: _Call, timeout: float) -> NoReturn:
    if call.publishing is None:
        raise CallTimeout(f"no channel to call {call.routing_key!r} on within {timeout:g} s")
    raise CallTimeout(f"no reply from {call.routing_key!r} within {timeout:g} s")


def _reply(request: Message, body: bytes, type_: str | None = None) -> Message:
    return Message(
        body,
        type=type_,
        correlation_id=request.correlation_id,
        delivery_mode=request.delivery_mode,
    )


def _error_reply(request: Message, text: str) -> Message:
    return _reply(request, str(RemoteError(text)).encode(), ERROR_TYPE)


def _identity(request: Message) -> tuple[str | None, ...]:
    return request.reply_to, request.correlation_id, request.message_id
