"""Push: every record from a TCP client is published, and done when RabbitMQ has confirmed it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import attrs
from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.message import Message
from netdemo.amqp.window import Window
from netdemo.bridge.framing import LineFraming
from netdemo.errors import (
    NackedError,
    NotSentError,
    OutcomeUnknownError,
    PublishError,
    UnroutableError,
)
from netdemo.listening import LimitedFactory
from netdemo.transport import end_writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from netdemo.amqp.destination import Target
    from netdemo.amqp.publisher import Publisher
    from netdemo.bridge.routes import PushRoute
    from netdemo.transport import IStreamTransport

RETRY_POLICY: Final = backoffPolicy(initialDelay=0.5, maxDelay=30.0, factor=2)
"""Seconds until a record that the broker did not take is published again."""

LINGER: Final = 5.0
"""Seconds that a client has to read its last answers and to close, before it is aborted."""


@attrs.define
class _Answer:
    """What a record is answered with, once that is known."""

    record: bytes | None = None


@implementer(IHalfCloseableProtocol, IPushProducer)
class PushProtocol(Protocol):
    """Reads records and gives each to the factory; answers in order when the route says so.

    It stops reading while the route's window is full, and while the client leaves 64 KiB of
    answers unread. A client that half-closes is closed when all that it sent is done, so that
    the end of the connection tells even a sender without answers that nothing is left. Over TLS
    and behind haproxy Twisted knows no half-close: a client that ends its side has left, and what
    it sent goes on without it.
    """

    factory: PushFactory
    transport: IStreamTransport
    _log = Logger()
    _lingering: IDelayedCall | None = None

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._under_way = 0
        self._answers: deque[_Answer] = deque()
        self._ended = False
        self._refusing = False
        self._closing = False

    def connectionMade(self) -> None:
        self._records = LineFraming(
            self._record_received, self._record_too_long, self.factory.route.max_record
        )
        self._records.makeConnection(self.transport)
        self.transport.registerProducer(self, True)
        self._wait_for_room()

    def dataReceived(self, data: bytes) -> None:
        if not self._refusing:
            self._records.dataReceived(data)

    def readConnectionLost(self) -> None:
        """Finish what the client has sent before it half-closed; it waits for its answers."""
        if not self._ended:
            self._ended = True
            if not self._refusing:
                self._records.finish()
            self._close_when_done()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side half-closes only to linger."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        self.factory.connection_ended(self)
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        if not self._ended and not self._refusing:
            self._ended = True
            self._take_what_was_read()
            if reason.check(ConnectionDone):
                self._records.finish()
            elif self._records.clearLineBuffer():
                self.factory.truncated += 1
                self._log.warn("{peer} broke off inside a record", peer=self.transport.getPeer())

    def stop(self) -> None:
        """Take nothing more; close when all that was read is done, and answered."""
        if self._ended or self._refusing:
            return
        self.transport.pauseProducing()
        if self.factory.route.ack:
            self._refusing = True
        else:
            self._ended = True  # there is nothing that it waits for
        self._take_what_was_read()
        self._close_when_done()

    def _take_what_was_read(self) -> None:
        """Take the records that were read and not looked at because the window was full."""
        self._records.paused = False
        self._records.dataReceived(b"")

    def pauseProducing(self) -> None:
        """Stop reading: the client does not read its answers."""
        self._hold("answers unread")

    def resumeProducing(self) -> None:
        self._release("answers unread")

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def _record_received(self, record: bytes) -> None:
        answer = _Answer()
        if self.factory.route.ack:
            self._answers.append(answer)
        self._under_way += 1
        done = self.factory.push(record)
        done.addCallbacks(
            lambda _: self._done(answer, b"OK"),
            lambda failure: self._done(answer, _error_record(failure)),
        )
        done.addErrback(lambda failure: self._log.failure("answering a record", failure))
        self._wait_for_room()

    def _record_too_long(self) -> None:
        limit = self.factory.route.max_record
        self.factory.too_long += 1
        self._log.warn(
            "{peer} sent a record of more than {limit} bytes",
            peer=self.transport.getPeer(),
            limit=limit,
        )
        self._refusing = True
        if self.factory.route.ack:
            self._answers.append(
                _Answer(b"ERR too-long a record has at most %d bytes here" % limit)
            )
            self._send_answers()
        self._close_when_done()

    def _done(self, answer: _Answer, record: bytes) -> None:
        answer.record = record
        self._under_way -= 1
        self._send_answers()
        self._close_when_done()

    def _send_answers(self) -> None:
        while self._answers and (record := self._answers[0].record) is not None:
            self._answers.popleft()
            if self.connected:
                self.transport.write(self._records.encode(record))

    def _close_when_done(self) -> None:
        if self._under_way or not self.connected or not (self._ended or self._refusing):
            return
        if not self._closing:
            self._closing = True
            self.transport.unregisterProducer()
        if self._ended:
            self.transport.loseConnection()
        elif self._lingering is None:
            self._linger()

    def _linger(self) -> None:
        """Give the client time to read its last answers and to close."""
        self._lingering = self.factory.clock.callLater(LINGER, self.transport.abortConnection)
        end_writing(self.transport)

    def _wait_for_room(self) -> None:
        if self.factory.window.full and not (self._ended or self._refusing):
            if "window full" in self._held:
                return
            self._hold("window full")
            room = self.factory.window.when_room()
            room.addCallback(lambda _: self._release("window full"))
            room.addErrback(lambda failure: self._log.failure("resuming", failure))

    def _hold(self, why: str) -> None:
        self._held.add(why)
        self._records.pauseProducing()

    def _release(self, why: str) -> None:
        self._held.discard(why)
        if self.connected and not (self._held or self._ended or self._refusing):
            self._records.resumeProducing()


def _error_record(failure: Failure) -> bytes:
    """Return what a record that was not published is answered with."""
    failure.trap(PublishError)
    error = failure.value
    assert isinstance(error, PublishError)
    reason = " ".join(error.reply_text.split())
    return f"ERR {ERROR_CODES[type(error)]} {reason}".encode()


ERROR_CODES: Final = {
    UnroutableError: "unroutable",
    NackedError: "nacked",
    NotSentError: "not-sent",
    OutcomeUnknownError: "outcome-unknown",
}


class PushFactory(LimitedFactory):
    """Publishes the records of all connections of one route, at most a `window` of them at once.

    A record that the broker does not take is answered with ``ERR`` where the route answers.
    Where it does not, nobody could be told: it is logged and published again, later and later,
    and keeps its place in the window, so that the senders feel it.

    Counters: `confirmed`, `refused_by_broker` (attempts), `too_long`, `truncated` (records).
    """

    _log = Logger()

    def __init__(
        self,
        route: PushRoute,
        target: Target,
        publisher: Publisher,
        clock: IReactorTime,
        *,
        window: Window | None = None,
        retry_policy: Callable[[int], float] = RETRY_POLICY,
    ) -> None:
        super().__init__()
        self.route = route
        self.clock = clock
        self.window = window or Window()
        self.confirmed = self.refused_by_broker = self.too_long = self.truncated = 0
        self._target = target
        self._publisher = publisher
        self._retry_policy = retry_policy
        self._pauses: set[Deferred[None]] = set()
        self._stopping = False

    def new_protocol(self) -> PushProtocol:
        return PushProtocol()

    def push(self, record: bytes) -> Deferred[None]:
        """Publish `record`; fire when RabbitMQ has it, fail with `PublishError`."""
        message = Message(record)
        self.window.take(len(record))
        done = self._publish(message)
        done.addErrback(self._not_published, message)
        return done.addBoth(self._done, len(record))

    def stop(self) -> Deferred[None]:
        """Stop all connections; fire when every record that was read is done and answered.

        A client that has not read its answers after another `LINGER` seconds is aborted.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._stopping = True
        for protocol in list(self.connections):
            protocol.stop()
        for pause in list(self._pauses):
            pause.cancel()
        await self.window.when_empty()
        await self.end_connections(LINGER, self.clock)
        self._stopping = False

    def _publish(self, message: Message) -> Deferred[None]:
        target = self._target
        return self._publisher.publish(
            message, target.exchange, target.routing_key, target.mandatory
        )

    def _not_published(self, failure: Failure, message: Message) -> Failure | Deferred[None]:
        self.refused_by_broker += 1
        self._log.warn(
            "{route}: message {message_id} was not published: {reason}",
            route=self.route,
            message_id=message.message_id,
            reason=failure.value,
        )
        if self.route.ack:
            return failure
        return Deferred.fromCoroutine(self._publish_again(message, failure))

    async def _publish_again(self, message: Message, refusal: Failure) -> None:
        attempt = 0
        while not self._stopping:
            attempt += 1
            try:
                await self._pause(self._retry_policy(attempt))
                await self._publish(message)
                return
            except PublishError:
                self.refused_by_broker += 1
            except CancelledError:
                break
        refusal.raiseException()

    def _pause(self, seconds: float) -> Deferred[None]:
        pause: Deferred[None] = deferLater(self.clock, seconds)
        self._pauses.add(pause)
        return pause.addBoth(self._paused, pause)

    def _paused(self, result: Failure | None, pause: Deferred[None]) -> Failure | None:
        self._pauses.discard(pause)
        return result

    def _done(self, result: Failure | None, size: int) -> Failure | None:
        if result is None:
            self.confirmed += 1
        elif not self.route.ack:
            self._log.error("{route}: a record is lost: {f.value}", route=self.route, f=result)
        self.window.give_back(size)
        return result
