"""The consumers of a pull route: one for each of its clients, many of them on one channel."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.interfaces import IChannel, IChannelUser
from netdemo.errors import ChannelClosed, ConsumerCancelled
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.python.failure import Failure

    from netdemo.amqp.destination import Source
    from netdemo.amqp.message import Message
    from netdemo.errors import AMQPError

TAKERS: Final = 50
"""Consumers that share a channel.

A connection has 2,047 channels in RabbitMQ, each with processes of its own; but RabbitMQ goes
through all that is unacknowledged on a channel, and all who wait there, with each ack.
"""

Taken = tuple[IChannel, int]
"""What is to be answered: a delivery by its channel and tag."""


class Taker(Protocol):
    """Who is consumed for."""

    def deliver(self, message: Message, taken: Taken) -> None:
        """Take a message, and answer it in the end."""

    def cancelled(self) -> None:
        """Give back what is not on its way: nothing more comes."""

    def detached(self) -> None:
        """Forget what is not on its way: it went back with its channel."""


@implementer(IChannelUser)
class Consumers:
    """Consumes from ``source`` for each taker, with ``prefetch`` for each.

    They are begun and cancelled one at a time, and cancelled first. What takers leave goes back
    when all of them are cancelled, so that it does not go from one who leaves to the next.
    """

    _log = Logger()

    def __init__(self, source: Source, prefetch: int, name: str) -> None:
        self.topology = source.topology
        self._queue = source.queue
        self._prefetch = prefetch
        self._name = name
        self._takers: dict[Taker, None] = {}
        self._tags: dict[Taker, str] = {}
        self._joining: deque[Taker] = deque()
        self._leaving: deque[Taker] = deque()
        self._channel: IChannel | None = None
        self._working: Deferred[None] = succeed(None)
        self._at_work = False
        self._draining = False
        self._in_hand = 0
        self._drained: Waiters[None] = Waiters()

    def __str__(self) -> str:
        return self._name

    @property
    def full(self) -> bool:
        """Whether it is for others to have more takers."""
        return len(self._takers) >= TAKERS

    def add(self, taker: Taker) -> None:
        """Consume for ``taker``, on this channel and every later one."""
        self._takers[taker] = None
        if self._channel is not None and not self._draining:
            self._joining.append(taker)
            self._begin_work(self._channel)

    def remove(self, taker: Taker) -> None:
        """Consume for ``taker`` no more, which is told when it is `cancelled`, now or later."""
        self._takers.pop(taker, None)
        if self._channel is None:
            taker.cancelled()
        else:
            self._leaving.append(taker)
            self._begin_work(self._channel)

    def ack(self, done: Sequence[Taken]) -> None:
        """Acknowledge deliveries, as far as their channel is still there."""
        channel = self._channel
        if channel is None:
            return
        tags = [tag for of, tag in done if of is channel]
        if tags:
            channel.ack(*tags)
            self._put_down(len(tags))

    def give_back(self, refused: Sequence[Taken]) -> None:
        """Requeue deliveries, as far as they did not go back with their channel."""
        self._refuse(refused, requeue=True)

    def reject(self, refused: Taken) -> None:
        """Have a delivery dropped, or put where the queue's policy says."""
        self._refuse([refused], requeue=False)

    def start(self) -> None:
        self._draining = False

    async def attach(self, channel: IChannel) -> None:
        if self._draining:
            return
        await channel.qos(self._prefetch)
        if self._draining:  # begun while the broker was asked
            return
        self._channel = channel
        self._joining.extend(self._takers)
        await self._work(channel)

    def detach(self, reason: ChannelClosed) -> None:  # noqa: ARG002
        self._channel = None
        self._working.cancel()
        self._in_hand = 0
        self._tags.clear()
        self._joining.clear()
        for taker in self._takers:
            taker.detached()
        self._tell_those_who_leave()
        self._look_whether_drained()

    def drain(self) -> Deferred[None]:
        self._draining = True
        drained = self._drained.wait()
        self._joining.clear()
        self._leaving.extend(self._takers)
        if self._channel is None:
            self._tell_those_who_leave()
            self._look_whether_drained()
        else:
            self._begin_work(self._channel)
        return drained

    def give_up(self, reason: AMQPError) -> None:
        """Do nothing: what was in hand went back with the channel."""

    def _begin_work(self, channel: IChannel) -> None:
        if not self._at_work:
            self._working = Deferred.fromCoroutine(self._work(channel))
            self._working.addErrback(self._unless_ended)

    async def _work(self, channel: IChannel) -> None:
        """Begin and cancel consumers, until all are as they should be.

        One at a time: pika would hold back a second request, but no answer to a delivery, and
        the broker would send what is given back to the consumer that is about to be cancelled.
        """
        self._at_work = True
        try:
            while self._leaving or self._joining:
                if self._leaving:
                    await self._cancel_those_who_leave(channel)
                else:
                    await self._consume(self._joining.popleft(), channel)
        finally:
            self._at_work = False
        self._look_whether_drained()

    async def _consume(self, taker: Taker, channel: IChannel) -> None:
        if taker in self._takers and taker not in self._tags:
            self._tags[taker] = await channel.consume(
                self._queue,
                lambda delivery: self._deliver(
                    taker, delivery.message, (channel, delivery.delivery_tag)
                ),
                lambda: self._cancelled_by_broker(channel),
            )

    async def _cancel_those_who_leave(self, channel: IChannel) -> None:
        left: list[Taker] = []
        try:
            while self._leaving:
                left.append(self._leaving.popleft())
                tag = self._tags.pop(left[-1], None)
                if tag is not None:
                    await channel.cancel(tag)
        finally:
            for taker in left:
                taker.cancelled()

    def _tell_those_who_leave(self) -> None:
        while self._leaving:
            self._leaving.popleft().cancelled()

    def _deliver(self, taker: Taker, message: Message, taken: Taken) -> None:
        if taken[0] is self._channel:  # else it goes back with its channel
            self._in_hand += 1
            taker.deliver(message, taken)

    def _cancelled_by_broker(self, channel: IChannel) -> None:
        reason = ConsumerCancelled(f"the broker cancelled the consumers of {self._queue!r}")
        channel.close(reason).addErrback(lambda f: self._log.failure("closing", f))

    def _refuse(self, refused: Sequence[Taken], requeue: bool) -> None:
        channel = self._channel
        if channel is None:
            return
        tags = [tag for of, tag in refused if of is channel]
        for tag in tags:
            channel.nack(tag, requeue)
        self._put_down(len(tags))

    def _put_down(self, count: int) -> None:
        self._in_hand -= count
        self._look_whether_drained()

    def _look_whether_drained(self) -> None:
        if self._draining and not self._in_hand and not self._at_work:
            self._drained.callback(None)

    def _unless_ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError, ChannelClosed):
            self._log.failure("{consumers}: consuming failed", failure, consumers=self)
