"""Reading records from TCP clients, as fast as they can be dealt with, and answering in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from netdemo.bridge.answers import OK, error_answer, is_fault
from netdemo.bridge.clients import LINGER, RouteFactory
from netdemo.bridge.framing import FRAMINGS, FramingError
from netdemo.bridge.records import Records
from netdemo.transport import address_text, end_writing

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from netdemo.amqp.window import Window
    from netdemo.bridge.framing import RecordRefused
    from netdemo.bridge.routes import CallRoute, PushRoute
    from netdemo.transport import IStreamTransport


TURN: Final = 8
"""Records of a client that are taken while others wait, before it is the next one's turn."""

MAX_UNREAD: Final = 8 * 1024 * 1024
"""Bytes of answers to what was read already that a client may leave unread; then it is dropped."""


@attrs.define(eq=False)
class _Answer:
    """What a record is answered with, once that is known; it `waits` for one before it."""

    record: bytes | None = None
    waits: bool = False


@implementer(IHalfCloseableProtocol, IPushProducer)
class IntakeProtocol(Protocol, TimeoutMixin):
    """Reads records and gives each to the factory; answers in order where the factory does.

    It stops reading while the route's window is full, and while the client leaves 64 KiB of answers
    unread. Clients that wait for the window take turns. A client that half-closes is closed when
    all that it sent is done, so that the end of the connection tells even a sender without answers
    that nothing is left. Over TLS and behind haproxy Twisted knows no half-close: a client that
    ends its side has left, and what it sent goes on without it. One that for the route's
    ``idle_timeout`` sends nothing and takes no answer, while nothing of it is under way and it may
    send, is dropped.
    """

    factory: IntakeFactory
    transport: IStreamTransport
    _log = Logger()
    _lingering: IDelayedCall | None = None
    _answers: deque[_Answer] | None = None
    _room: Deferred[None] | None = None
    _under_way = 0
    _turn = 0
    _answers_unread = False
    _unread = 0
    _clean: bool | None = None
    """How the client has ended, while there is something of it to be taken before that."""
    _ended = False
    _refusing = False
    _closing = False

    def connectionMade(self) -> None:
        route = self.factory.route
        self.callLater = self.factory.clock.callLater  # type: ignore[assignment,method-assign]
        self._records = Records(
            FRAMINGS[route.framing], self._record_received, self._record_refused, route.max_record
        )
        if self.factory.answers and ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)  # an answer does not wait for the ACK of another
        self.transport.registerProducer(self, True)
        self.setTimeout(route.idle_timeout)
        if self.factory.window.full:
            self._wait_for_room()

    def dataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        if not self._refusing:
            self._records.data_received(data)

    def readConnectionLost(self) -> None:
        """Finish what the client has sent before it half-closed; it waits for its answers."""
        if not self._ended:
            self._ended = True
            if not self._refusing:
                self._clean = True
            self._take_rest()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side half-closes only to linger."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        self.setTimeout(None)
        self.factory.connection_ended(self)
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        if not self._ended and not self._refusing:
            self._ended = True
            self._clean = reason.check(ConnectionDone) is not None
        self._take_rest()
        self._drop_answers()

    def stop(self) -> None:
        """Take nothing more; close when all that was read is done, and answered."""
        if self._ended or self._refusing:
            return
        self.transport.pauseProducing()
        if self.factory.answers or ISSLTransport.providedBy(self.transport):
            self._refusing = True
        else:
            self._ended = True  # there is nothing that it waits for, which TLS does: for its end
        self._take_rest()

    def timeoutConnection(self) -> None:
        if self._under_way or self._room is not None or self._lingering is not None:
            self.setTimeout(self.factory.route.idle_timeout)
        else:
            self._log.info(
                "{route}: {peer} was idle for too long",
                route=self.factory.route,
                peer=address_text(self.transport.getPeer()),
            )
            self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """Stop reading: the client does not read its answers."""
        self._answers_unread = True
        if not (self._ended or self._refusing):
            self._hold()

    def resumeProducing(self) -> None:
        self.resetTimeout()
        self._answers_unread = False
        self._unread = 0
        self._go_on()

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def _take_rest(self) -> None:
        """Take what was read and not looked at, as there is room, and then the end; close."""
        if self._room is not None and self._records.empty:
            self._room.cancel()
            self._room = None
        if self._room is None:
            self._records.resume()
        if self._room is not None:
            return  # `_has_room` goes on
        clean, self._clean = self._clean, None
        if clean is not None and self._records.finish(clean):
            self.factory.truncated += 1
            self._log.warn(
                "{route}: {peer} broke off inside a record",
                route=self.factory.route,
                peer=address_text(self.transport.getPeer()),
            )
        self._close_when_done()

    def _record_received(self, record: bytes) -> None:
        answer = self._new_answer() if self.factory.answers else None
        self._under_way += 1
        self.factory.take(record).addBoth(self._settled, answer)
        self._turn += 1
        window = self.factory.window
        if window.full or (self._turn >= TURN and window.awaited):
            self._wait_for_room()

    def _record_refused(self, refusal: RecordRefused) -> None:
        self.factory.refused_records += 1
        self._log.warn(
            "{route}: {peer}: {refusal}",
            route=self.factory.route,
            peer=address_text(self.transport.getPeer()),
            refusal=refusal,
        )
        self._refusing = True
        if self.factory.answers:
            self._new_answer().record = error_answer(refusal)
            self._send_answers()
        self._close_when_done()

    def _new_answer(self) -> _Answer:
        if self._answers is None:
            self._answers = deque()
        answer = _Answer()
        self._answers.append(answer)
        return answer

    def _settled(self, outcome: bytes | Failure | None, answer: _Answer | None) -> None:
        """Answer a record. One callback for all: thousands of records have theirs at once."""
        try:
            if isinstance(outcome, Failure):
                if is_fault(outcome.value):
                    self._log.failure("{route}: a record failed", outcome, route=self.factory.route)
                outcome = error_answer(outcome.value)
            self._done(OK if outcome is None else outcome, answer)
        except Exception:
            self._log.failure("answering a record")

    def _done(self, record: bytes, answer: _Answer | None) -> None:
        self._under_way -= 1
        if answer is not None and self.connected:
            answer.record = record
            if self._answers and self._answers[0] is answer:
                self._send_answers()
            else:  # it takes up room as what is under way does
                answer.waits = True
                self.factory.window.take(len(record))
        if not self._under_way:
            self.resetTimeout()
        if self._ended or self._refusing:
            self._close_when_done()

    def _send_answers(self) -> None:
        answers = self._answers
        while answers and (record := answers[0].record) is not None:
            answer = answers.popleft()
            self._write(self._encode(record))
            if answer.waits:
                self.factory.window.give_back(len(record))

    def _write(self, data: bytes) -> None:
        self.transport.write(data)
        if self._answers_unread:
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self._log.warn(
                    "{route}: {peer} leaves more than {limit} bytes of answers unread",
                    route=self.factory.route,
                    peer=address_text(self.transport.getPeer()),
                    limit=MAX_UNREAD,
                )
                self.transport.abortConnection()

    def _drop_answers(self) -> None:
        while self._answers:
            answer = self._answers.popleft()
            if answer.waits and answer.record is not None:
                self.factory.window.give_back(len(answer.record))

    def _encode(self, record: bytes) -> bytes:
        framing = FRAMINGS[self.factory.route.framing]
        try:
            return framing.encode(record)
        except FramingError as error:
            return framing.encode(error_answer(error))

    def _close_when_done(self) -> None:
        if not self.connected or not (self._ended or self._refusing):
            return
        if self._under_way or self._room is not None:
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
        if self._room is not None:
            return
        if self._ended or self._refusing:
            self._records.paused = True  # nothing is read any more
        else:
            self._hold()
        self._room = self.factory.window.when_room()
        self._room.addCallbacks(lambda _: self._has_room(), lambda f: f.trap(CancelledError))
        self._room.addErrback(lambda failure: self._log.failure("resuming", failure))

    def _has_room(self) -> None:
        self._room = None
        self._turn = 0
        if self._ended or self._refusing:
            self._take_rest()
        else:
            self.resetTimeout()
            self._go_on()

    def _hold(self) -> None:
        self._records.paused = True
        self.transport.pauseProducing()

    def _go_on(self) -> None:
        held = self._room is not None or self._answers_unread
        if self.connected and not (held or self._ended or self._refusing):
            self._records.resume()
            if not self._records.paused:
                self.transport.resumeProducing()


class IntakeFactory(RouteFactory):
    """Takes the records of all clients of one route, as `window` has room for them.

    `answers` says whether each is answered. Counters: `refused_records`, too long or malformed,
    each of which ended its connection, and `truncated` ones, with which a connection ended.
    """

    answers = True

    def __init__(self, route: PushRoute | CallRoute, window: Window, clock: IReactorTime) -> None:
        super().__init__(route)
        self.window = window
        self.clock = clock
        self.refused_records = self.truncated = 0

    def new_protocol(self) -> IntakeProtocol:
        return IntakeProtocol()

    def take(self, record: bytes) -> Deferred[Any]:
        """Take a record, which counts in the window until it is done.

        Fires with its answer in bytes, or with ``None``, which is answered with ``OK``.
        Fails with what it is to be answered with as an error.
        """
        raise NotImplementedError

    def stop(self) -> Deferred[None]:
        """Stop all connections; fire when every record that was read is done and answered.

        A client that has not read its answers after another `LINGER` seconds is aborted.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.stopping = True
        for protocol in list(self.connections):
            protocol.stop()
        await self.finish()
        await self.end_connections(LINGER, self.clock)
        self.stopping = False

    def finish(self) -> Deferred[None]:
        """Fire when all that was read is taken and nothing is under way; nothing new is read."""
        return self.window.when_empty()
