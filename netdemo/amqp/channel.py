"""A channel of a live connection, on pika's plain ``pika.channel.Channel``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import pika.channel
import pika.exceptions
from pika import spec
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from netdemo.amqp.acknowledgements import Acknowledgements
from netdemo.amqp.content import DeliveryReader, encode_ack, encode_nack, encode_publish
from netdemo.amqp.interfaces import IChannel
from netdemo.amqp.message import Message, Return, as_text
from netdemo.errors import AMQPError, ChannelClosed, ChannelClosedByUs, ChannelLost
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.connection import Connection

    from netdemo.amqp.message import Delivery
    from netdemo.amqp.topology import Binding, Exchange, Queue

T = TypeVar("T")

MAX_BODY: Final = 512 * 1024 * 1024
"""Bytes of a message that a broker may send, as in RabbitMQ; a longer one ends the connection."""


class Link(Protocol):
    """What a channel needs of its session."""

    channels: dict[int, Channel]
    """Those that have not ended, by their numbers: where the session looks for them."""

    @property
    def reason(self) -> AMQPError | None:
        """Why the connection has ended, or ends, if it does."""

    def write(self, data: bytes) -> None:
        """Send ``data``."""

    def soon(self, call: Callable[[], None]) -> None:
        """Call ``call`` once all that has arrived is dealt with."""


@implementer(IChannel)
class Channel:
    """A channel; see `IChannel`.

    Opening, closing and all that is asked and answered is done by pika's channel; what there is
    of each message, publishing, delivering and acknowledging, goes past it.
    """

    _channel: pika.channel.Channel

    def __init__(self, link: Link) -> None:
        self.closed: Deferred[ChannelClosed] = Deferred()
        self._link = link
        self._deliveries = DeliveryReader(self._delivered, MAX_BODY)
        self._acknowledgements = Acknowledgements()
        self._consumers: dict[str, tuple[Callable[[Delivery], None] | None, bool]] = {}
        self._reason: ChannelClosed | None = None
        self._close_reason: ChannelClosed = ChannelClosedByUs("closed by us")
        self._waiting: set[Deferred[Any]] = set()
        self._ending: Waiters[None] = Waiters()
        self._on_cancel: dict[str, Callable[[], None]] = {}

    @property
    def number(self) -> int:
        """Its number on the connection, from 1."""
        return self._channel.channel_number

    def frame_received(self, kind: int, payload: bytes) -> bool:
        """Take a frame if it belongs to a delivery; return whether it does."""
        return self._deliveries.take(kind, payload)

    def open(self, connection: Connection) -> Deferred[IChannel]:
        """Open it on ``connection`` (``channel.open``); fire with itself."""
        opening: Deferred[IChannel] = Deferred(lambda _: self._close())
        try:
            self._channel = connection.channel(
                on_open_callback=lambda _: self._answered(opening, self)
            )
        except pika.exceptions.NoFreeChannels:
            in_use = connection.params.channel_max
            return fail(ChannelClosed(f"all of the connection's {in_use} channels are in use"))
        except pika.exceptions.AMQPError as error:
            return fail(self._lost(error))
        self._waiting.add(opening)
        self._link.channels[self.number] = self
        self._channel.add_on_close_callback(self._ended)
        self._channel.add_on_cancel_callback(self._cancelled_by_broker)
        return opening

    def exchange_declare(self, exchange: Exchange) -> Deferred[None]:
        return self._call(
            self._channel.exchange_declare,
            _nothing,
            exchange=exchange.name,
            exchange_type=exchange.type,
            passive=exchange.passive,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            internal=exchange.internal,
            arguments=exchange.arguments,
        )

    def queue_declare(self, queue: Queue) -> Deferred[str]:
        return self._call(
            self._channel.queue_declare,
            lambda method: str(method.queue),
            queue=queue.name,
            passive=queue.passive,
            durable=queue.durable,
            exclusive=queue.exclusive,
            auto_delete=queue.auto_delete,
            arguments=queue.arguments,
        )

    def queue_delete(self, queue: str) -> Deferred[None]:
        return self._call(self._channel.queue_delete, _nothing, queue=queue)

    def bind(self, binding: Binding) -> Deferred[None]:
        if binding.to_exchange:
            return self._call(
                self._channel.exchange_bind,
                _nothing,
                destination=binding.destination,
                source=binding.source,
                routing_key=binding.routing_key,
                arguments=binding.arguments,
            )
        return self._call(
            self._channel.queue_bind,
            _nothing,
            queue=binding.destination,
            exchange=binding.source,
            routing_key=binding.routing_key,
            arguments=binding.arguments,
        )

    def confirm_select(
        self, on_outcome: Callable[[int, bool, bool], None], on_return: Callable[[Return], None]
    ) -> Deferred[None]:
        def outcome(frame: Any) -> None:
            method = frame.method
            on_outcome(method.delivery_tag, method.multiple, isinstance(method, spec.Basic.Ack))

        def returned(
            _: pika.channel.Channel,
            method: spec.Basic.Return,
            properties: spec.BasicProperties,
            body: bytes,
        ) -> None:
            on_return(
                Return(
                    Message.received(body, properties),
                    as_text(method.exchange),
                    as_text(method.routing_key),
                    method.reply_code,
                    as_text(method.reply_text),
                )
            )

        self._channel.add_on_return_callback(returned)
        return self._call(self._channel.confirm_delivery, _nothing, ack_nack_callback=outcome)

    def publish(self, message: Message, exchange: str, routing_key: str, mandatory: bool) -> None:
        if self._reason is not None:
            raise self._reason
        connection = self._channel.connection
        if not connection.is_open:  # it ends, and tells its channels one by one
            raise self._lost(ConnectionResetError("the connection is not open"))
        if not self._channel.is_open:
            raise self._close_reason
        self._link.write(
            encode_publish(
                self._channel.channel_number,
                message,
                exchange,
                routing_key,
                mandatory,
                connection.params.frame_max,
            )
        )

    def qos(self, prefetch: int) -> Deferred[None]:
        return self._call(self._channel.basic_qos, _nothing, prefetch_count=prefetch)

    def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        on_cancel: Callable[[], None],
        no_ack: bool = False,
    ) -> Deferred[str]:
        def consuming(method: Any) -> str:
            self._consumers[method.consumer_tag] = on_delivery, no_ack
            self._on_cancel[method.consumer_tag] = on_cancel
            return str(method.consumer_tag)

        return self._call(
            self._channel.basic_consume,
            consuming,
            queue=queue,
            on_message_callback=_nothing,  # deliveries go past pika
            auto_ack=no_ack,
        )

    def cancel(self, consumer_tag: str) -> Deferred[None]:
        def cancelled(_: object) -> None:
            self._consumers.pop(consumer_tag, None)

        if self._reason is not None or consumer_tag not in self._on_cancel:
            return succeed(None)
        del self._on_cancel[consumer_tag]
        if consumer_tag in self._consumers:
            self._consumers[consumer_tag] = None, self._consumers[consumer_tag][1]
        return self._call(self._channel.basic_cancel, cancelled, consumer_tag=consumer_tag)

    def ack(self, *delivery_tags: int) -> None:
        if self._can_answer():
            for delivery_tag in delivery_tags:
                self._acknowledgements.done(delivery_tag)
            self._link.soon(self._send_acks)

    def nack(self, delivery_tag: int, requeue: bool) -> None:
        if self._can_answer():
            self._acknowledgements.answered(delivery_tag)
            self._link.write(encode_nack(self.number, delivery_tag, requeue))

    def _delivered(self, consumer_tag: str, delivery: Delivery) -> None:
        on_delivery, no_ack = self._consumers.get(consumer_tag, (None, False))
        if not no_ack:
            if not self._can_answer():
                return  # it goes back with the channel
            self._acknowledgements.delivered(delivery.delivery_tag)
        if on_delivery is not None:
            on_delivery(delivery)
        elif not no_ack:  # it was on its way when the consumer was cancelled
            self.nack(delivery.delivery_tag, requeue=True)

    def _send_acks(self) -> None:
        if self._can_answer():
            for delivery_tag, multiple in self._acknowledgements.take():
                self._link.write(encode_ack(self.number, delivery_tag, multiple))

    def close(self, reason: ChannelClosed | None = None) -> Deferred[None]:
        if self._reason is not None:
            return succeed(None)
        ended = self._ending.wait()
        self._close_reason = reason or self._close_reason
        self._close()
        return ended

    def _can_answer(self) -> bool:
        # A connection that ends tells its channels one by one.
        return self._channel.is_open and self._channel.connection.is_open

    def _close(self) -> None:
        if not self._channel.connection.is_open:
            return  # the channel ends with it
        if not self._channel.is_closing and not self._channel.is_closed:
            self._send_acks()
            self._channel.close()

    def _call(
        self, method: Callable[..., object], answer: Callable[[Any], T], **arguments: object
    ) -> Deferred[T]:
        if self._reason is not None:
            return fail(self._reason)
        waiting: Deferred[T] = Deferred()
        try:
            method(
                callback=lambda frame: self._answered(waiting, answer(frame.method)), **arguments
            )
        except pika.exceptions.ChannelWrongStateError as error:
            return fail(ChannelClosed(repr(error)))
        except Exception:  # an argument that can't be put on the wire; nothing was sent
            return fail()
        self._waiting.add(waiting)
        return waiting

    def _answered(self, waiting: Deferred[T], answer: T) -> None:
        self._waiting.discard(waiting)
        if not waiting.called:  # else it was cancelled
            waiting.callback(answer)

    def _ended(self, _: pika.channel.Channel, error: Exception) -> None:
        if isinstance(error, pika.exceptions.ChannelClosedByBroker):
            reason = ChannelClosed(error.reply_text, error.reply_code)
        elif isinstance(error, pika.exceptions.ChannelClosedByClient):
            reason = self._close_reason
        else:
            reason = self._lost(error)
        self._reason = reason
        del self._link.channels[self.number]
        waiting, self._waiting = self._waiting, set()
        for call in waiting:
            if not call.called:
                call.errback(reason)
        self.closed.callback(reason)
        self._ending.callback(None)

    def _lost(self, error: Exception) -> ChannelLost:
        reason = self._link.reason
        if reason is None:
            return ChannelLost(repr(error))
        return ChannelLost(reason.reply_text, reason.reply_code)

    def _cancelled_by_broker(self, frame: Any) -> None:
        on_cancel = self._on_cancel.pop(frame.method.consumer_tag, None)
        if on_cancel is not None:
            on_cancel()


def _nothing(_: object) -> None:
    return None
