"""Pull: each message of a queue goes to one TCP client."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from netdemo.amqp.destination import source
from netdemo.bridge.consumers import Consumers
from netdemo.bridge.framing import FRAMINGS, FramingError
from netdemo.bridge.records import Records
from netdemo.bridge.sending import SendingFactory, SendingProtocol
from netdemo.transport import address_text

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.destination import Source
    from netdemo.amqp.message import Message
    from netdemo.bridge.consumers import Taken
    from netdemo.bridge.framing import RecordRefused
    from netdemo.bridge.routes import PullRoute

ACK: Final = b"ACK"
NACK: Final = b"NACK"

MAX_ANSWER: Final = 16
"""Bytes of an answer to a record; what is longer is none."""


@implementer(IHandshakeListener)
class PullProtocol(SendingProtocol):
    """Sends one client its messages, and answers the broker for it.

    A message is acknowledged when it is with the kernel, or, where the route says ``ack``, when
    the client answers it with ``ACK``; ``NACK`` gives it back, to whoever has it next. Each record
    is answered, in order; any other answer, and one more than there are records, ends the
    connection. What a client that leaves has not taken, or answered, goes back.

    What can't be written in the framing is held until the client leaves, if it is not rejected,
    and is one of its ``prefetch`` until then: one such message stops no more than a client, and
    that for a prefetch of 1.

    Over TLS nothing is taken for a client before it has shaken hands.

    The route's ``prefetch`` bounds what is held of a client that does not read, or not answer.
    """

    factory: PullFactory
    _log = Logger()
    _stopping = False
    _answers: Records | None = None

    def __init__(self) -> None:
        super().__init__()
        self._unanswered: deque[Taken] = deque()  # in the order of sending, `waiting` at its end
        self._held: list[Taken] = []
        self._unfit = 0
        self._acked: list[Taken] = []

    def connectionMade(self) -> None:
        super().connectionMade()
        if self.factory.route.ack:
            framing = FRAMINGS[self.factory.route.framing]
            self._answers = Records(framing, self._answered, self._answer_refused, MAX_ANSWER)
        self._consumers = self.factory.consumers_with_room()
        if not isinstance(self.transport, TLSMemoryBIOProtocol):  # haproxy hides that it is there
            self._consumers.add(self)

    def handshakeCompleted(self) -> None:
        """Be consumed for: the client has shown its certificate, where it has to."""
        if not self._stopping:
            self._consumers = self.factory.consumers_with_room()
            self._consumers.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._answers is None:
            return
        self._answers.data_received(data)
        self._acknowledge()
        self.go_on()
        self._close_when_done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._consumers.remove(self)

    def stop(self) -> None:
        """Take nothing more, and close when what was written is taken, or answered."""
        self._stopping = True
        self._consumers.remove(self)
        self._close_when_done()

    def deliver(self, message: Message, taken: Taken) -> None:
        """Send a message, if it can be."""
        if self._stopping or self.ended:  # its consumer is still to be cancelled
            self._held.append(taken)
            return
        try:
            data = FRAMINGS[self.factory.route.framing].encode(message.body)
        except FramingError as error:
            self._does_not_fit(message, taken, error)
            return
        self._unanswered.append(taken)
        self.send(data)

    def cancelled(self) -> None:
        """Give back what is not written, and all when the client has left."""
        back, self._held = self._held, []
        self._unfit = 0
        unsent = len(self._unanswered) if self.ended else len(self.waiting)
        self.waiting.clear()
        back += reversed([self._unanswered.pop() for _ in range(unsent)])
        self._consumers.give_back(back)
        self._close_when_done()

    def detached(self) -> None:
        """Forget what is not written: it went back with its channel."""
        for _ in range(len(self.waiting)):
            self._unanswered.pop()
        self.waiting.clear()
        self._held.clear()
        self._unfit = 0

    def sent(self, count: int, size: int) -> None:  # noqa: ARG002
        """Acknowledge what is with the kernel, unless the client does it."""
        if self.factory.route.ack:
            return
        self._acked += [self._unanswered.popleft() for _ in range(count)]
        self._acknowledge()
        self._close_when_done()

    def room(self) -> int:
        """Return how many records it may have more: not many from each of the broker's channels."""
        prefetch: int = self.factory.route.prefetch
        return prefetch - self._under_way()

    def idle(self) -> bool:
        return not self._unanswered

    def _under_way(self) -> int:
        """Return how many records are written, and not done."""
        return len(self._unanswered) - len(self.waiting)

    def _answered(self, answer: bytes) -> None:
        if self.ended:
            return
        if answer not in (ACK, NACK):
            self._break_off(f"expected ACK or NACK, not {answer!r}")
        elif not self._under_way():
            self._break_off(f"{answer.decode()} for no record")
        else:
            self.resetTimeout()
            taken = self._unanswered.popleft()
            if self.idle():
                self.setTimeout(None)
            if answer == ACK:
                self._acked.append(taken)
            else:
                self.factory.nacked += 1
                self._consumers.give_back([taken])

    def _answer_refused(self, refusal: RecordRefused) -> None:
        if not self.ended:
            self._break_off(f"expected ACK or NACK: {refusal}")

    def _break_off(self, reason: str) -> None:
        self._log.warn(
            "{route}: {peer}: {reason}",
            route=self.factory.route,
            peer=address_text(self.transport.getPeer()),
            reason=reason,
        )
        self.abort()

    def _acknowledge(self) -> None:
        acked, self._acked = self._acked, []
        if acked:
            self.factory.delivered += len(acked)
            self._consumers.ack(acked)

    def _close_when_done(self) -> None:
        if self._stopping and not self.ended and self.idle():
            self.transport.loseConnection()

    def _does_not_fit(self, message: Message, taken: Taken, error: FramingError) -> None:
        route = self.factory.route
        if route.reject_unfit:
            self.factory.rejected += 1
            self._consumers.reject(taken)
        else:
            self.factory.kept += 1
            self._unfit += 1
            self._held.append(taken)
        self._log.error(
            "{route}: message {message_id} is {fate}: {reason}",
            route=route,
            message_id=message.message_id,
            fate="rejected" if route.reject_unfit else "kept",
            reason=error,
        )
        if self._unfit == route.prefetch:
            self._log.error(
                "{route}: {peer} gets no more messages: all {count} that it may hold are kept",
                route=route,
                peer=address_text(self.transport.getPeer()),
                count=self._unfit,
            )


class PullFactory(SendingFactory):
    """Builds the connections of one route.

    Counters: `delivered` messages, taken or acknowledged by a client, `nacked` ones, and of those
    not to be written in the framing `kept` and `rejected`, each time that it happened.
    """

    def __init__(
        self, route: PullRoute, client: AMQPClient, taken_over: Source | None = None
    ) -> None:
        super().__init__(route, client.clock)
        self.source = taken_over or source(route.destination)
        self.client = client
        self._consumers: list[Consumers] = []
        self.delivered = self.nacked = self.kept = self.rejected = 0
        # Also while nobody pulls: what is published meanwhile shall wait there.
        client.declare(self.source.topology).addErrback(lambda _: None)  # the client logs it

    def consumers_with_room(self) -> Consumers:
        """Return consumers to which another may be added."""
        for consumers in self._consumers:
            if not consumers.full:
                return consumers
        consumers = Consumers(self.source, self.route.prefetch, str(self.route))
        self._consumers.append(consumers)
        self.client.add(consumers)
        return consumers

    def new_protocol(self) -> PullProtocol:
        return PullProtocol()

    def withdraw(self) -> None:
        for consumers in self._consumers:
            self.client.remove(consumers)
        self._consumers.clear()
        self.client.undeclare(self.source.topology)
