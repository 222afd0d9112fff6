"""Publishing with a true outcome for each message.

Every message is published in confirm mode. RabbitMQ answers each with an ack or a nack, several
at once where it likes (``multiple``), and sends a message that no queue wants back before it
acks it. Which of the messages under way came back is told by its `message_id`, exchange and
routing key; where several share all three, by the rest of it and then by the order of publishing.

When the connection is lost, what has no outcome yet is published again on the next one, in order
and with the same `message_id`. When the broker closes the channel for an error, it does not say
which message was at fault, nor how many before it were taken: then they are published again one
at a time, until the one that costs the channel again is alone, and fails.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.interfaces import IChannelUser
from netdemo.amqp.topology import Topology
from netdemo.amqp.window import Window
from netdemo.errors import (
    ChannelClosed,
    ChannelClosedByUs,
    ChannelLost,
    NackedError,
    NotSentError,
    OutcomeUnknownError,
    UnroutableError,
)
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netdemo.amqp.interfaces import IChannel
    from netdemo.amqp.message import Message, Return
    from netdemo.errors import AMQPError


@attrs.define(eq=False)
class _Outgoing:
    """A message on its way to an outcome, with which `done` fires."""

    message: Message
    exchange: str
    routing_key: str
    mandatory: bool
    done: Deferred[None]
    sent: bool = False
    returned: Return | None = None

    @property
    def key(self) -> tuple[str | None, str, str]:
        return self.message.message_id, self.exchange, self.routing_key


@implementer(IChannelUser)
class Publisher:
    """Publishes on a channel of its own, at most `window` messages and bytes unconfirmed.

    What is published beyond the window, or before there is a channel, waits in order. How much
    waits is up to the caller, to whom the Deferred of `publish` is the back-pressure.
    """

    _log = Logger()

    def __init__(
        self,
        topology: Topology | None = None,
        *,
        window: Window | None = None,
        name: str = "publisher",
    ) -> None:
        self.topology = topology or Topology()
        self.name = name
        self._window = window or Window()
        self._channel: IChannel | None = None
        self._next_tag = 1
        self._waiting: deque[_Outgoing] = deque()
        self._unconfirmed: dict[int, _Outgoing] = {}
        self._returnable: dict[tuple[str | None, str, str], deque[_Outgoing]] = {}
        self._suspects: set[_Outgoing] = set()
        self._drained: Waiters[None] = Waiters()
        self._stopped: AMQPError | None = None
        self._declaring = False
        self._declaration_refused = False

    def __str__(self) -> str:
        return self.name

    def publish(
        self, message: Message, exchange: str = "", routing_key: str = "", mandatory: bool = True
    ) -> Deferred[None]:
        """Publish `message`; fire when the broker has confirmed exactly this one.

        Fails with `UnroutableError`, `NackedError` or `NotSentError`, and with
        `OutcomeUnknownError` when the client is stopped before the broker has answered.
        Cancelling it gives up the outcome, and the message if it was not sent yet.

        An outcome is that of the last time the message was sent. When it was sent before on a
        connection that was lost, an error does not tell that the broker has not that one.
        """
        done: Deferred[None] = Deferred(lambda _: self._cancelled(outgoing))
        outgoing = _Outgoing(message, exchange, routing_key, mandatory, done)
        if self._stopped is not None:
            outgoing.done.errback(NotSentError(self._stopped.reply_text, message))
        else:
            self._waiting.append(outgoing)
            self._send()
        return outgoing.done

    def start(self) -> None:
        self._stopped = None

    async def attach(self, channel: IChannel) -> None:
        await channel.confirm_select(self._confirmed, self._returned)
        self._channel = channel
        self._declaration_refused = False
        self._next_tag = 1
        self._send()

    def detach(self, reason: ChannelClosed) -> None:
        self._channel = None
        sent = list(self._unconfirmed.values())
        again = [outgoing for outgoing in sent if not outgoing.done.called]
        guilty = None
        if not (isinstance(reason, ChannelLost | ChannelClosedByUs) or self._declaration_refused):
            if len(sent) == 1 and again:
                guilty = again.pop()
            self._suspects.update(again)
        self._suspects.difference_update(set(sent) - set(again))
        self._waiting.extendleft(reversed(again))
        for tag in list(self._unconfirmed):
            self._forget(tag).returned = None
        self._give_room_back(sent)
        if guilty is not None:
            self._settle(guilty, NotSentError(reason.reply_text, guilty.message, reason.reply_code))
        self._look_whether_drained()

    def drain(self) -> Deferred[None]:
        drained = self._drained.wait()
        self._look_whether_drained()
        return drained

    def give_up(self, reason: AMQPError) -> None:
        self._stopped = reason
        left = [*self._unconfirmed.values(), *self._waiting]
        self._waiting.clear()
        for outgoing in left:
            error = OutcomeUnknownError if outgoing.sent else NotSentError
            self._settle(outgoing, error(reason.reply_text, outgoing.message))

    def _send(self) -> None:
        while self._waiting and self._channel is not None and self._room():
            outgoing = self._waiting.popleft()
            try:
                self._put_on_the_wire(outgoing, self._channel)
            except ChannelClosed:  # `detach` will follow
                self._waiting.appendleft(outgoing)
                return
            except Exception as error:  # the codec refuses it
                self._settle(
                    outgoing,
                    NotSentError(f"it can't be put on the wire: {error!r}", outgoing.message),
                )
        self._look_whether_drained()

    def _room(self) -> bool:
        return not self._window.full and not (self._suspects and self._unconfirmed)

    def _put_on_the_wire(self, outgoing: _Outgoing, channel: IChannel) -> None:
        tag = self._next_tag
        # A transport in memory may bring the answer before `publish` returns.
        self._next_tag += 1
        self._unconfirmed[tag] = outgoing
        self._window.take(len(outgoing.message.body))
        if outgoing.mandatory:
            self._returnable.setdefault(outgoing.key, deque()).append(outgoing)
        try:
            channel.publish(
                outgoing.message, outgoing.exchange, outgoing.routing_key, outgoing.mandatory
            )
        except Exception:
            self._next_tag = tag
            self._give_room_back([self._forget(tag)])
            raise
        outgoing.sent = True

    def _forget(self, tag: int) -> _Outgoing:
        outgoing = self._unconfirmed.pop(tag)
        same = self._returnable.get(outgoing.key)
        if same is not None and outgoing in same:
            same.remove(outgoing)
            if not same:
                del self._returnable[outgoing.key]
        return outgoing

    def _give_room_back(self, outgoing: Iterable[_Outgoing]) -> None:
        """Do so after all else is in order: who waits for room may publish at once."""
        for each in outgoing:
            self._window.give_back(len(each.message.body))

    def _returned(self, returned: Return) -> None:
        key = (returned.message.message_id, returned.exchange, returned.routing_key)
        candidates = [each for each in self._returnable.get(key, ()) if each.returned is None]
        # Routing may depend on more than the key (an exchange of type headers).
        same = (each for each in candidates if each.message == returned.message)
        if candidates:
            next(same, candidates[0]).returned = returned

    def _confirmed(self, delivery_tag: int, multiple: bool, acked: bool) -> None:
        if multiple:
            tags = list(takewhile(lambda tag: tag <= delivery_tag, self._unconfirmed))
        else:
            tags = [tag for tag in (delivery_tag,) if tag in self._unconfirmed]
        settled = [self._forget(tag) for tag in tags]
        self._give_room_back(settled)
        for outgoing in settled:
            self._settle(outgoing, _error(outgoing, acked))
        self._send()
        if any(outgoing.returned for outgoing in settled) and self._channel and not self._declaring:
            declaring = Deferred.fromCoroutine(self._declare_again(self._channel))
            declaring.addErrback(lambda failure: self._log.failure("declaring again", failure))

    async def _declare_again(self, channel: IChannel) -> None:
        """Declare the topology: a message came back, so a queue of ours may have been deleted."""
        self._declaring = True
        try:
            await self.topology.declare(channel)
        except ChannelClosed:
            self._declaration_refused = True  # `detach` follows
        finally:
            self._declaring = False

    def _cancelled(self, outgoing: _Outgoing) -> None:
        if outgoing in self._waiting:
            self._waiting.remove(outgoing)
            self._suspects.discard(outgoing)
            self._look_whether_drained()

    def _settle(self, outgoing: _Outgoing, error: AMQPError | None) -> None:
        self._suspects.discard(outgoing)
        if outgoing.done.called:  # cancelled while it was under way
            return
        if error is None:
            outgoing.done.callback(None)
        else:
            outgoing.done.errback(error)

    def _look_whether_drained(self) -> None:
        if self._waiting or self._unconfirmed:
            return
        self._drained.callback(None)


def _error(outgoing: _Outgoing, acked: bool) -> AMQPError | None:
    if not acked:
        return NackedError("the broker refused it (basic.nack)", outgoing.message)
    if outgoing.returned is not None:
        return UnroutableError(
            outgoing.returned.reply_text, outgoing.message, outgoing.returned.reply_code
        )
    return None
