"""Publishing with a true outcome for each message.

Every message is published in confirm mode. RabbitMQ answers each with an ack or a nack, several
at once where it likes (``multiple``), and sends a message that no queue wants back before it
acks it. Which of the messages under way came back is told by its `message_id`, exchange and
routing key; where several share all three, by the rest of it and then by the order of publishing.

When the connection is lost, what has no outcome yet is published again on the next one, in order
and with the same `message_id`. When the broker closes the channel for an error, it does not say
which message was at fault, nor how many before it were taken: then they are published again one
at a time, until the one that costs the channel again is alone, and fails. So it is when the broker
ends the whole connection for an error; there the message may have been alone by chance, and its
outcome is unknown.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Final

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
    from collections.abc import Iterable, Sequence

    from netdemo.amqp.interfaces import IChannel
    from netdemo.amqp.message import Message, Return
    from netdemo.errors import AMQPError, PublishError


BACKLOG_MESSAGES: Final = 100_000
"""Messages that wait for room in the window or for a connection, unless said otherwise."""

BACKLOG_BYTES: Final = 256 * 1024 * 1024
"""Bytes of their bodies, unless said otherwise."""

CONNECTION_ERRORS: Final = 500
"""Reply codes from here on end a connection for an error (AMQP 0-9-1, section 1.2)."""

REFUSALS: Final = 5
"""Messages refused on a new channel, and none taken, after which it is replaced."""


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

    def may_be(self, returned: Return) -> bool:
        """Tell whether ``returned`` may be this one."""
        return (
            self.mandatory
            and self.message.message_id == returned.message.message_id
            and self.routing_key == returned.routing_key
            and self.exchange == returned.exchange
        )


@implementer(IChannelUser)
class Publisher:
    """Publishes on a channel of its own, at most ``window`` messages and bytes unconfirmed.

    What is published beyond the window, or before there is a channel, waits in order, up to the
    limits of ``backlog``. The Deferred of `publish` is the back-pressure: a caller with no more
    than the window's messages without a result never comes there.

    What was not confirmed when its connection is lost is published again on the next one. Without
    ``republish`` nothing is sent twice: what is under way when the channel ends, for whatever
    reason, fails with `OutcomeUnknownError`.
    """

    _log = Logger()

    def __init__(
        self,
        topology: Topology | None = None,
        *,
        window: Window | None = None,
        backlog: Window | None = None,
        republish: bool = True,
        name: str = "publisher",
    ) -> None:
        self.topology = topology or Topology()
        self.name = name
        self._window = window or Window()
        self._backlog = backlog or Window(BACKLOG_MESSAGES, BACKLOG_BYTES)
        self._republish = republish
        self._channel: IChannel | None = None
        self._next_tag = 1
        self._waiting: OrderedDict[Deferred[None], _Outgoing] = OrderedDict()
        self._unconfirmed: dict[int, _Outgoing] = {}
        self._suspects: set[_Outgoing] = set()
        self._drained: Waiters[None] = Waiters()
        self._stopped: AMQPError | None = None
        self._declaring = False
        self._declaration_refused = False
        self._acked = False
        self._refusals = 0

    def __str__(self) -> str:
        return self.name

    def publish(
        self, message: Message, exchange: str = "", routing_key: str = "", mandatory: bool = True
    ) -> Deferred[None]:
        """Publish ``message``; fire when the broker has confirmed exactly this one.

        Fails with `UnroutableError`, `NackedError` or `NotSentError` (also when the backlog is
        full), and with `OutcomeUnknownError` when the client is stopped before the broker has
        answered. Cancelling it gives up the outcome, and the message if it was not sent yet.

        An outcome is that of the last time the message was sent. When it was sent before on a
        connection that was lost, an error does not tell that the broker has not that one.
        """
        done: Deferred[None] = Deferred(self._cancelled)
        outgoing = _Outgoing(message, exchange, routing_key, mandatory, done)
        if self._stopped is not None:
            done.errback(NotSentError(self._stopped.reply_text, message))
        elif self._channel is not None and not self._waiting and self._room():
            self._put_on_the_wire(outgoing, self._channel)
        elif self._backlog.full:
            backlog = f"{self._backlog.messages} messages of {self._backlog.size} bytes"
            done.errback(NotSentError(f"{backlog} wait before it", message))
        else:
            self._wait(outgoing)
        return done

    def start(self) -> None:
        self._stopped = None

    async def attach(self, channel: IChannel) -> None:
        # A channel that still closes may bring outcomes of its own: they find nothing.
        unconfirmed = self._unconfirmed = {}
        await channel.confirm_select(
            partial(self._confirmed, unconfirmed), partial(self._returned, unconfirmed)
        )
        self._channel = channel
        self._acked = False
        self._refusals = 0
        self._declaration_refused = False
        self._next_tag = 1
        self._send()

    def detach(self, reason: ChannelClosed) -> None:
        self._channel = None
        sent = list(self._unconfirmed.values())
        self._unconfirmed.clear()
        left = [outgoing for outgoing in sent if not outgoing.done.called]
        error = self._blame(reason, sent)
        again = left if error is None else []
        self._suspects.difference_update(set(sent) - set(again))
        for outgoing in reversed(again):
            outgoing.returned = None
            self._wait(outgoing, first=True)
        self._give_room_back(sent)
        if error is not None:
            for each in left:
                self._settle(each, error(reason.reply_text, each.message, reason.reply_code))
        self._look_whether_drained()

    def _blame(self, reason: ChannelClosed, sent: Sequence[_Outgoing]) -> type[PublishError] | None:
        """Return what messages fail with that were under way, ``None`` to publish them again.

        Where one of several may be at fault, all are suspects from now on.
        """
        lost = isinstance(reason, ChannelLost)
        blameless = isinstance(reason, ChannelClosedByUs) or self._declaration_refused
        if not blameless and (not lost or reason.reply_code >= CONNECTION_ERRORS):
            if len(sent) == 1 and (not lost or sent[0] in self._suspects):
                return OutcomeUnknownError if lost else NotSentError
            if self._republish:
                self._suspects.update(each for each in sent if not each.done.called)
        return None if self._republish else OutcomeUnknownError

    def drain(self) -> Deferred[None]:
        drained = self._drained.wait()
        self._look_whether_drained()
        return drained

    def give_up(self, reason: AMQPError) -> None:
        self._stopped = reason
        waiting = list(self._waiting.values())
        for outgoing in waiting:
            self._no_longer_waiting(outgoing)
        for outgoing in [*self._unconfirmed.values(), *waiting]:
            error = OutcomeUnknownError if outgoing.sent else NotSentError
            self._settle(outgoing, error(reason.reply_text, outgoing.message))
        self._look_whether_drained()

    def _send(self) -> None:
        while self._waiting and self._channel is not None and self._room():
            outgoing = next(iter(self._waiting.values()))
            self._no_longer_waiting(outgoing)
            self._put_on_the_wire(outgoing, self._channel)
        self._look_whether_drained()

    def _room(self) -> bool:
        if self._suspects and self._unconfirmed:
            return False
        return not self._window.full and not self._useless

    @property
    def _useless(self) -> bool:
        """Whether the channel is to be replaced: nothing that was published on it was taken.

        When a quorum queue has no leader at first, RabbitMQ 3.10 refuses all that follows on the
        same channel until the old leader's node is back, however long there is a new one.
        """
        return self._refusals >= REFUSALS and not self._acked

    def _put_on_the_wire(self, outgoing: _Outgoing, channel: IChannel) -> None:
        tag = self._next_tag
        # A transport in memory may bring the answer before `publish` returns.
        self._next_tag += 1
        self._unconfirmed[tag] = outgoing
        self._window.take(len(outgoing.message.body))
        try:
            channel.publish(
                outgoing.message, outgoing.exchange, outgoing.routing_key, outgoing.mandatory
            )
        except ChannelClosed:  # `detach` will follow
            self._channel = None
            self._not_sent(tag)
            self._wait(outgoing, first=True)
        except Exception as error:  # the codec refuses it
            self._not_sent(tag)
            reason = f"it can't be put on the wire: {error!r}"
            self._settle(outgoing, NotSentError(reason, outgoing.message))
        else:
            outgoing.sent = True

    def _not_sent(self, tag: int) -> None:
        self._next_tag = tag
        self._give_room_back([self._unconfirmed.pop(tag)])

    def _wait(self, outgoing: _Outgoing, *, first: bool = False) -> None:
        self._waiting[outgoing.done] = outgoing
        if first:
            self._waiting.move_to_end(outgoing.done, last=False)
        self._backlog.take(len(outgoing.message.body))

    def _no_longer_waiting(self, outgoing: _Outgoing) -> None:
        del self._waiting[outgoing.done]
        self._backlog.give_back(len(outgoing.message.body))

    def _give_room_back(self, outgoing: Iterable[_Outgoing]) -> None:
        """Do so after all else is in order: who waits for room may publish at once."""
        for each in outgoing:
            self._window.give_back(len(each.message.body))

    def _returned(self, unconfirmed: dict[int, _Outgoing], returned: Return) -> None:
        found: _Outgoing | None = None
        for each in unconfirmed.values():
            if each.returned is None and each.may_be(returned):
                # Routing may depend on more than the key (an exchange of type headers).
                if each.message == returned.message:
                    found = each
                    break
                found = found or each
        if found is not None:
            found.returned = returned

    def _confirmed(
        self, unconfirmed: dict[int, _Outgoing], delivery_tag: int, multiple: bool, acked: bool
    ) -> None:
        if multiple and not delivery_tag:  # all (AMQP 0-9-1, class basic, method ack)
            tags = list(unconfirmed)
        elif multiple:
            tags = list(takewhile(lambda tag: tag <= delivery_tag, unconfirmed))
        else:
            tags = [tag for tag in (delivery_tag,) if tag in unconfirmed]
        if not tags:
            return
        settled = [unconfirmed.pop(tag) for tag in tags]
        if acked:
            self._acked = True
        else:
            self._refusals += len(settled)
        self._give_room_back(settled)
        for outgoing in settled:
            self._settle(outgoing, _error(outgoing, acked))
        self._send()
        if self._useless and not self._unconfirmed and self._channel is not None:
            reason = ChannelClosed("the broker refused all that was published on its channel")
            self._channel.close(reason).addErrback(lambda f: self._log.failure("closing", f))
            self._channel = None  # `detach` follows
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

    def _cancelled(self, done: Deferred[None]) -> None:
        outgoing = self._waiting.get(done)
        if outgoing is not None:
            self._no_longer_waiting(outgoing)
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
