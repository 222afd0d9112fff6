"""What a channel is delivered: consumers, what they hold, and what they answer."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from pika import spec

from netdemo.broker.arguments import parse_consumer_arguments
from netdemo.broker.consumers import Consumer, Source
from netdemo.broker.dead_letters import counted
from netdemo.broker.permissions import QUEUE
from netdemo.broker.replies import REPLY_TO, NoQueue
from netdemo.broker.wire import read_ack, write_content, write_delivery
from netdemo.errors import NotAllowed, PreconditionFailed, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.broker.backlog import Entry
    from netdemo.broker.channel import Channel
    from netdemo.broker.message import Message


class Held(NamedTuple):
    """A delivery that is not acknowledged yet; one of ``basic.get`` has no consumer."""

    entry: Entry
    source: Source
    consumer: Consumer | None


class Delivering:
    """The consumer's side of ``channel``; see `netdemo.broker.consumers.Receiver`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._consumers: dict[str, Consumer] = {}
        self._held: OrderedDict[int, Held] = OrderedDict()
        """By delivery tag, in order."""
        self._last_tag = 0
        self._prefetch = 0
        """For each consumer that comes."""
        self._shared_prefetch = 0
        """For all consumers of the channel together."""
        self._shared_held = 0
        self._reply_name: str | None = None
        self._reply_consumer = ""
        self._kept: list[tuple[dict[int, Held], Callable[[Held], None]]] = []
        """Answers that wait for the transaction's commit."""

    def has_room(self, consumer: Consumer) -> bool:
        """Whether ``consumer`` takes a delivery now."""
        shared = self._shared_prefetch
        if shared and self._shared_held >= shared and not consumer.no_ack:
            return False
        return self._channel.connection.has_room()

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Send ``entry`` to ``consumer``."""
        self._last_tag = tag = self._last_tag + 1
        if not consumer.no_ack:
            self._held[tag] = Held(entry, consumer.queue, consumer)
            consumer.unacked += 1
            self._shared_held += 1
        channel = self._channel
        channel.write(
            write_delivery(
                channel.number,
                consumer.tag,
                tag,
                entry.redelivered,
                entry.message if not entry.returns else counted(entry.message, entry.returns),
                channel.connection.frame_max,
            )
        )

    def deliver_reply(self, message: Message) -> None:
        """Send a reply to the consumer of replies; it has the tag that the next delivery has."""
        channel = self._channel
        if not channel.connection.takes_reply(message.size):
            return
        frame_max = channel.connection.frame_max
        tag = self._last_tag + 1
        channel.write(
            write_delivery(channel.number, self._reply_consumer, tag, False, message, frame_max)
        )

    def cancelled(self, consumer: Consumer) -> None:
        """Forget ``consumer``: its queue is gone."""
        del self._consumers[consumer.tag]
        if self._channel.connection.wants("consumer_cancel_notify"):
            self._channel.send(spec.Basic.Cancel(consumer.tag, nowait=True))

    def wake(self) -> None:
        """Offer messages again to those who had no room."""
        for consumer in self._consumers.values():
            if consumer.waiting:
                consumer.queue.wake(consumer)

    def reply_name(self) -> str:
        """Return the name to which replies for the channel are to be sent."""
        if self._reply_name is None:
            raise PreconditionFailed("fast reply consumer does not exist")
        return self._reply_name

    def end(self) -> None:
        """Give everything back: the channel has ended."""
        consumers, self._consumers = self._consumers, {}
        for consumer in consumers.values():
            consumer.queue.remove_consumer(consumer)
        self._drop_reply_name()
        self.roll_back()
        held, self._held = self._held, OrderedDict()
        for each in held.values():
            each.source.requeue(each.entry)

    def consume(self, method: Any) -> None:
        """Start a consumer (``basic.consume``)."""
        channel = self._channel
        tag = method.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(16)}"
        if tag in self._consumers:
            raise NotAllowed(f"attempt to reuse consumer tag '{tag}'")
        if method.queue == REPLY_TO:
            self._consume_replies(method, tag)
            return
        name = channel.queue_name(method.queue)
        channel.access.check_read(QUEUE, name)
        queue = channel.vhost.queue(name)
        channel.check_exclusive(queue)
        if self._shared_prefetch and queue.is_quorum:
            raise Unimplemented(
                f"queue '{name}' in vhost '{channel.vhost.name}' does not support global qos"
            )
        consumer = Consumer(
            tag,
            queue,
            channel,
            method.no_ack,
            method.exclusive,
            self._prefetch,
            parse_consumer_arguments(
                name, channel.vhost.name, queue.limits.queue_type, method.arguments or {}
            ),
        )
        queue.add_consumer(consumer)
        self._consumers[tag] = consumer
        channel.answer(method, spec.Basic.ConsumeOk(tag))

    def _consume_replies(self, method: Any, tag: str) -> None:
        channel = self._channel
        if self._reply_name is not None:
            raise PreconditionFailed("reply consumer already set")
        if not method.no_ack:
            raise PreconditionFailed("reply consumer cannot acknowledge")
        self._consumers[tag] = Consumer(tag, NoQueue(), channel, no_ack=True)
        self._reply_consumer = tag
        self._reply_name = channel.broker.replies.add(self)
        channel.answer(method, spec.Basic.ConsumeOk(tag))

    def cancel(self, method: Any) -> None:
        """Stop a consumer (``basic.cancel``)."""
        consumer = self._consumers.pop(method.consumer_tag, None)
        if consumer is not None:
            consumer.queue.remove_consumer(consumer)
            if isinstance(consumer.queue, NoQueue):
                self._drop_reply_name()
        self._channel.answer(method, spec.Basic.CancelOk(method.consumer_tag))

    def _drop_reply_name(self) -> None:
        name, self._reply_name = self._reply_name, None
        if name is not None:
            self._channel.broker.replies.remove(name)

    def get(self, method: Any) -> None:
        """Deliver one message (``basic.get``)."""
        channel = self._channel
        name = channel.queue_name(method.queue)
        channel.access.check_read(QUEUE, name)
        queue = channel.vhost.queue(name)
        channel.check_exclusive(queue)
        entry = queue.get()
        if entry is None:
            channel.send(spec.Basic.GetEmpty())
            return
        self._last_tag = tag = self._last_tag + 1
        message = entry.message
        if queue.is_quorum:
            message = counted(message, entry.returns)
        got = spec.Basic.GetOk(
            tag, entry.redelivered, message.exchange, message.routing_key, queue.count()
        )
        channel.send(got)
        channel.write(write_content(channel.number, message, channel.connection.frame_max))
        if method.no_ack:
            queue.done(entry)
        else:
            self._held[tag] = Held(entry, queue, None)

    def ack(self, payload: bytes) -> None:
        """Take a ``basic.ack``, by its payload."""
        delivery_tag, multiple = read_ack(payload)
        if not multiple and self._channel.transaction is None:
            held = self._held.pop(delivery_tag, None)
            if held is None:
                raise unknown_tag(delivery_tag)
            self._done(held)
        else:
            self._settle(delivery_tag, multiple, self._done)

    def nack(self, method: Any) -> None:
        """Take a ``basic.nack``."""
        self._refuse(method.delivery_tag, method.multiple, method.requeue)

    def reject(self, method: Any) -> None:
        """Take a ``basic.reject``."""
        self._refuse(method.delivery_tag, False, method.requeue)

    def _refuse(self, delivery_tag: int, multiple: bool, requeue: bool) -> None:
        self._settle(delivery_tag, multiple, self._requeue if requeue else self._reject)

    def _settle(self, delivery_tag: int, multiple: bool, answer: Callable[[Held], None]) -> None:
        """Answer a delivery, or all up to it; tag 0 with ``multiple`` is all that there are."""
        held = self._held
        tags = [delivery_tag]
        if multiple and delivery_tag == 0:
            tags = list(held)
        elif delivery_tag not in held:
            raise unknown_tag(delivery_tag)
        elif multiple:
            tags = list(takewhile(lambda tag: tag <= delivery_tag, held))
        settled = {tag: held.pop(tag) for tag in tags}
        if self._channel.transaction is not None:
            self._kept.append((settled, answer))
        else:
            for each in settled.values():
                answer(each)

    def commit(self) -> None:
        """Do what was kept for the transaction's commit."""
        kept, self._kept = self._kept, []
        for settled, answer in kept:
            for each in settled.values():
                answer(each)

    def roll_back(self) -> None:
        """Forget the answers since the last commit: their deliveries are held again."""
        if not self._kept:
            return
        for settled, _ in self._kept:
            self._held.update(settled)
        self._kept.clear()
        self._held = OrderedDict(sorted(self._held.items()))

    def _done(self, held: Held) -> None:
        self._let_go(held)
        held.source.done(held.entry)

    def _reject(self, held: Held) -> None:
        self._let_go(held)
        held.source.reject(held.entry)

    def _requeue(self, held: Held) -> None:
        self._let_go(held)
        held.source.requeue(held.entry)

    def _let_go(self, held: Held) -> None:
        """Make room for another delivery."""
        consumer = held.consumer
        if consumer is None:
            return
        consumer.unacked -= 1
        was_full = self._shared_held == self._shared_prefetch
        self._shared_held -= 1
        if was_full and self._shared_prefetch:
            self.wake()
        elif consumer.waiting:
            consumer.queue.wake(consumer)

    def recover(self, method: Any) -> None:
        """Put back what is not acknowledged (``basic.recover``)."""
        if not method.requeue:
            raise Unimplemented("requeue=false")
        held, self._held = self._held, OrderedDict()
        for each in held.values():
            self._requeue(each)
        if isinstance(method, spec.Basic.Recover):
            self._channel.send(spec.Basic.RecoverOk())

    def qos(self, method: Any) -> None:
        """Limit what may be held (``basic.qos``), as RabbitMQ reads ``global``."""
        if method.prefetch_size:
            raise Unimplemented(f"prefetch_size!=0 ({method.prefetch_size})")
        if method.global_qos:
            self._shared_prefetch = method.prefetch_count
        else:
            self._prefetch = method.prefetch_count
            self._shared_prefetch = 0
        self.wake()
        self._channel.send(spec.Basic.QosOk())

    def methods(self) -> dict[type, Callable[[Any], None]]:
        """Return what it does for which methods."""
        return {
            spec.Basic.Consume: self.consume,
            spec.Basic.Cancel: self.cancel,
            spec.Basic.Get: self.get,
            spec.Basic.Nack: self.nack,
            spec.Basic.Reject: self.reject,
            spec.Basic.Recover: self.recover,
            spec.Basic.RecoverAsync: self.recover,
            spec.Basic.Qos: self.qos,
        }


def unknown_tag(delivery_tag: int) -> PreconditionFailed:
    """Return the refusal of an answer to what was not delivered."""
    return PreconditionFailed(f"unknown delivery tag {delivery_tag}")
