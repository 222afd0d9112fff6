"""A channel of a live connection, on pika's plain `pika.channel.Channel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pika.channel
import pika.exceptions
from pika import spec
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from netdemo.amqp.interfaces import IChannel
from netdemo.amqp.message import Delivery, Message, Return
from netdemo.errors import AMQPError, ChannelClosed, ChannelClosedByUs, ChannelLost
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.connection import Connection

    from netdemo.amqp.topology import Binding, Exchange, Queue

T = TypeVar("T")


@implementer(IChannel)
class Channel:
    """A channel; see `IChannel`. `connection_reason` tells why its connection ended, if it did."""

    _channel: pika.channel.Channel

    def __init__(self, connection_reason: Callable[[], AMQPError | None]) -> None:
        self.closed: Deferred[ChannelClosed] = Deferred()
        self._connection_reason = connection_reason
        self._reason: ChannelClosed | None = None
        self._close_reason: ChannelClosed = ChannelClosedByUs("closed by us")
        self._waiting: set[Deferred[Any]] = set()
        self._ending: Waiters[None] = Waiters()
        self._on_cancel: dict[str, Callable[[], None]] = {}

    def open(self, connection: Connection) -> Deferred[IChannel]:
        """Open it on `connection` (``channel.open``); fire with itself."""
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
                    method.exchange,
                    method.routing_key,
                    method.reply_code,
                    method.reply_text,
                )
            )

        self._channel.add_on_return_callback(returned)
        return self._call(self._channel.confirm_delivery, _nothing, ack_nack_callback=outcome)

    def publish(self, message: Message, exchange: str, routing_key: str, mandatory: bool) -> None:
        if self._reason is not None:
            raise self._reason
        if not self._channel.connection.is_open:  # it ends, and tells its channels one by one
            raise self._lost(ConnectionResetError("the connection is not open"))
        try:
            self._channel.basic_publish(
                exchange, routing_key, message.body, message.properties(), mandatory
            )
        except pika.exceptions.ChannelWrongStateError as error:
            raise ChannelClosed(repr(error)) from error

    def qos(self, prefetch: int) -> Deferred[None]:
        return self._call(self._channel.basic_qos, _nothing, prefetch_count=prefetch)

    def consume(
        self, queue: str, on_delivery: Callable[[Delivery], None], on_cancel: Callable[[], None]
    ) -> Deferred[str]:
        def delivered(
            _: pika.channel.Channel,
            method: spec.Basic.Deliver,
            properties: spec.BasicProperties,
            body: bytes,
        ) -> None:
            on_delivery(
                Delivery(
                    Message.received(body, properties),
                    method.exchange,
                    method.routing_key,
                    method.redelivered,
                    method.delivery_tag,
                )
            )

        def consuming(method: Any) -> str:
            self._on_cancel[method.consumer_tag] = on_cancel
            return str(method.consumer_tag)

        return self._call(
            self._channel.basic_consume, consuming, queue=queue, on_message_callback=delivered
        )

    def cancel(self, consumer_tag: str) -> Deferred[None]:
        if self._reason is not None or consumer_tag not in self._channel.consumer_tags:
            return succeed(None)
        self._on_cancel.pop(consumer_tag, None)
        return self._call(self._channel.basic_cancel, _nothing, consumer_tag=consumer_tag)

    def ack(self, delivery_tag: int) -> None:
        if self._channel.is_open:
            self._channel.basic_ack(delivery_tag)

    def nack(self, delivery_tag: int, requeue: bool) -> None:
        if self._channel.is_open:
            self._channel.basic_nack(delivery_tag, requeue=requeue)

    def close(self, reason: ChannelClosed | None = None) -> Deferred[None]:
        if self._reason is not None:
            return succeed(None)
        ended = self._ending.wait()
        self._close_reason = reason or self._close_reason
        self._close()
        return ended

    def _close(self) -> None:
        if not self._channel.connection.is_open:
            return  # the channel ends with it
        if not self._channel.is_closing and not self._channel.is_closed:
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
        waiting, self._waiting = self._waiting, set()
        for call in waiting:
            if not call.called:
                call.errback(reason)
        self.closed.callback(reason)
        self._ending.callback(None)

    def _lost(self, error: Exception) -> ChannelLost:
        return ChannelLost(str(self._connection_reason() or repr(error)))

    def _cancelled_by_broker(self, frame: Any) -> None:
        on_cancel = self._on_cancel.pop(frame.method.consumer_tag, None)
        if on_cancel is not None:
            on_cancel()


def _nothing(_: object) -> None:
    return None
