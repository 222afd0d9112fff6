"""What a channel declares, binds and deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pika import spec

from netdemo.broker.arguments import (
    check_exchange_arguments,
    check_nameless,
    check_queue_type,
    parse_queue_arguments,
)
from netdemo.broker.equivalence import check_equivalent_exchange, check_equivalent_queue
from netdemo.broker.exchanges import KINDS, Exchange
from netdemo.broker.permissions import EXCHANGE, QUEUE
from netdemo.broker.replies import REPLY_TO, is_reply_to
from netdemo.errors import AccessRefused, CommandInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.broker.channel import Channel
    from netdemo.broker.queues import Queue

RESERVED: Final = "amq."
"""What the names of the broker's own exchanges and queues start with (section 1.7.2.1)."""


class Declaring:
    """The methods of the classes exchange and queue on ``channel``."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.last_queue = ""
        """The queue that was declared last, which an empty name stands for."""

    def declare_exchange(self, method: Any) -> None:
        """Take an ``exchange.declare``."""
        channel = self._channel
        name = _without_line_ends(method.exchange)
        if method.passive:
            _refuse_default(name)
            channel.vhost.exchange(name)
        else:
            self._declare_exchange(method, name)
        channel.answer(method, spec.Exchange.DeclareOk())

    def _declare_exchange(self, method: Any, name: str) -> None:
        channel, table = self._channel, method.arguments or {}
        if method.type not in KINDS:
            raise CommandInvalid(f"unknown exchange type '{method.type}'")
        _refuse_default(name)
        vhost = channel.vhost
        channel.access.check_configure(EXCHANGE, name)
        properties = (method.type, method.durable, method.auto_delete, method.internal, table)
        current = vhost.exchanges.get(name)
        if current is not None:
            check_equivalent_exchange(current, vhost.name, *properties)
            return
        _refuse_reserved(EXCHANGE, name)
        check_exchange_arguments(name, vhost.name, table)
        exchange: Exchange[Any] = Exchange(name, *properties)
        if exchange.alternate is not None:
            channel.access.check_read(EXCHANGE, name)
            channel.access.check_write(EXCHANGE, exchange.alternate)
        vhost.add_exchange(exchange)

    def delete_exchange(self, method: Any) -> None:
        """Take an ``exchange.delete``."""
        channel = self._channel
        _refuse_default(method.exchange)
        if method.exchange.startswith(RESERVED):
            raise AccessRefused(
                f"deletion of system exchange '{method.exchange}' in vhost "
                f"'{channel.vhost.name}' not allowed"
            )
        channel.access.check_configure(EXCHANGE, method.exchange)
        exchange = channel.vhost.exchanges.get(method.exchange)
        if exchange is not None:
            channel.vhost.delete_exchange(exchange, method.if_unused)
        channel.answer(method, spec.Exchange.DeleteOk())

    def bind_exchange(self, method: Any) -> None:
        """Take an ``exchange.bind``."""
        source, destination = self._exchanges_of(method)
        self._channel.vhost.bind(source, destination, method.routing_key, method.arguments or {})
        self._channel.answer(method, spec.Exchange.BindOk())

    def unbind_exchange(self, method: Any) -> None:
        """Take an ``exchange.unbind``; what is not bound is unbound already."""
        channel = self._channel
        self._check_exchanges(method)
        source = channel.vhost.exchanges.get(method.source)
        destination = channel.vhost.exchanges.get(method.destination)
        if source is not None and destination is not None:
            channel.vhost.unbind(source, destination, method.routing_key, method.arguments or {})
        channel.answer(method, spec.Exchange.UnbindOk())

    def _exchanges_of(self, method: Any) -> tuple[Exchange[Any], Exchange[Any]]:
        self._check_exchanges(method)
        vhost = self._channel.vhost
        return vhost.exchange(method.source), vhost.exchange(method.destination)

    def _check_exchanges(self, method: Any) -> None:
        for name in (method.destination, method.source):
            _refuse_default(name)
        self._channel.access.check_write(EXCHANGE, method.destination)
        self._channel.access.check_read(EXCHANGE, method.source)

    def declare_queue(self, method: Any) -> None:
        """Take a ``queue.declare``."""
        channel = self._channel
        name = _without_line_ends(method.queue)
        if name == REPLY_TO or channel.broker.replies.expects(name):
            channel.answer(method, spec.Queue.DeclareOk(name, 0, 1))
            return
        if method.passive:
            queue = channel.vhost.queue(name)
            channel.check_exclusive(queue)
        else:
            queue = self._declare_queue(method, name)
        queue.touch()
        self.last_queue = queue.name
        consumers = len(queue.rotation.members)
        channel.answer(method, spec.Queue.DeclareOk(queue.name, queue.count(), consumers))

    def _declare_queue(self, method: Any, name: str) -> Queue:
        channel, table = self._channel, method.arguments or {}
        vhost = channel.vhost
        durable = method.durable and not method.exclusive  # to RabbitMQ none is both
        owner = channel.connection if method.exclusive else None
        if not name:
            check_nameless(table)
        name = name or vhost.new_queue_name()
        channel.access.check_configure(QUEUE, name)
        current = vhost.queues.get(name)
        if current is not None:
            if current.owner not in (None, channel.connection):
                raise channel.locked(current)
            check_equivalent_queue(current, vhost.name, durable, method.auto_delete, table)
            if current.owner is not owner:
                raise channel.locked(current)
            return current
        if is_reply_to(name):
            raise vhost.no_queue(name)
        if method.queue:
            _refuse_reserved(QUEUE, name)
        limits = parse_queue_arguments(name, vhost.name, table)
        check_queue_type(
            name, vhost.name, limits.queue_type, durable, method.exclusive, method.auto_delete
        )
        if limits.dead_letter_exchange is not None:
            channel.access.check_read(QUEUE, name)
            channel.access.check_write(EXCHANGE, limits.dead_letter_exchange)
        return vhost.add_queue(name, limits, table, durable, method.auto_delete, owner)

    def delete_queue(self, method: Any) -> None:
        """Take a ``queue.delete``; one that is not there is deleted already."""
        channel = self._channel
        name = channel.queue_name(method.queue)
        channel.access.check_configure(QUEUE, name)
        queue = channel.vhost.queues.get(name)
        if queue is None:
            channel.answer(method, spec.Queue.DeleteOk(0))
            return
        channel.check_exclusive(queue)
        queue.check_deletable(method.if_unused, method.if_empty)
        channel.answer(method, spec.Queue.DeleteOk(queue.count()))  # before its consumers are told
        channel.vhost.delete_queue(queue)

    def purge_queue(self, method: Any) -> None:
        """Take a ``queue.purge``."""
        channel = self._channel
        name = channel.queue_name(method.queue)
        channel.access.check_read(QUEUE, name)
        queue = channel.vhost.queue(name)
        channel.check_exclusive(queue)
        channel.answer(method, spec.Queue.PurgeOk(queue.purge()))

    def bind_queue(self, method: Any) -> None:
        """Take a ``queue.bind``."""
        channel = self._channel
        name = self._check_ends(method)
        exchange = channel.vhost.exchange(method.exchange)
        queue = channel.vhost.queue(name)
        channel.check_exclusive(queue)
        channel.vhost.bind(exchange, queue, _key_of(method, name), method.arguments or {})
        channel.answer(method, spec.Queue.BindOk())

    def unbind_queue(self, method: Any) -> None:
        """Take a ``queue.unbind``; what is not bound is unbound already."""
        channel = self._channel
        name = self._check_ends(method)
        exchange = channel.vhost.exchanges.get(method.exchange)
        queue = channel.vhost.queues.get(name)
        if exchange is not None and queue is not None:
            key, arguments = _key_of(method, name), method.arguments or {}
            if exchange.is_bound(queue, key, arguments):
                channel.check_exclusive(queue)
            channel.vhost.unbind(exchange, queue, key, arguments)
        channel.send(spec.Queue.UnbindOk())

    def _check_ends(self, method: Any) -> str:
        """Return the name of the queue, when the user may bind it to the exchange."""
        channel = self._channel
        name = channel.queue_name(method.queue)
        _refuse_default(method.exchange)
        channel.access.check_write(QUEUE, name)
        channel.access.check_read(EXCHANGE, method.exchange)
        return name

    def methods(self) -> dict[type, Callable[[Any], None]]:
        """Return what it does for which methods."""
        return {
            spec.Exchange.Declare: self.declare_exchange,
            spec.Exchange.Delete: self.delete_exchange,
            spec.Exchange.Bind: self.bind_exchange,
            spec.Exchange.Unbind: self.unbind_exchange,
            spec.Queue.Declare: self.declare_queue,
            spec.Queue.Delete: self.delete_queue,
            spec.Queue.Purge: self.purge_queue,
            spec.Queue.Bind: self.bind_queue,
            spec.Queue.Unbind: self.unbind_queue,
        }


def _key_of(method: Any, queue: str) -> str:
    """Return the routing key, which is the queue's name if neither is given."""
    return method.routing_key if method.routing_key or method.queue else queue


def _without_line_ends(name: str) -> str:
    return name.replace("\r", "").replace("\n", "")


def _refuse_default(name: str) -> None:
    if not name:
        raise AccessRefused("operation not permitted on the default exchange")


def _refuse_reserved(kind: str, name: str) -> None:
    if name.startswith(RESERVED):
        raise AccessRefused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")
