"""A virtual host: the names of exchanges and queues, and the way of a message between them."""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from netdemo.broker.dead_letters import copies, dead_letter, deaths, goes_in_circles
from netdemo.broker.encoding import write_table
from netdemo.broker.exchanges import Exchange
from netdemo.broker.properties import split_header, split_table
from netdemo.broker.queues import REJECTED, Queue
from netdemo.broker.tables import read_table
from netdemo.errors import NotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from netdemo.broker.arguments import QueueArguments
    from netdemo.broker.memory import Memory
    from netdemo.broker.message import Message
    from netdemo.broker.schema import StoredBinding, StoredQueue
    from netdemo.broker.store import Store
    from netdemo.broker.turns import Turns

Source: TypeAlias = "Exchange[Any]"
Destination: TypeAlias = "Queue | Source"

PREDECLARED: Final = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.headers": "headers",
    "amq.match": "headers",
    "amq.topic": "topic",
    "amq.rabbitmq.trace": "topic",
}
"""Exchanges that every virtual host has (section 3.1.3.1), by their kinds."""


class DefaultExchange(Exchange[Any]):
    """To it every queue is bound by its own name (section 3.1.3.1)."""

    def __init__(self, queues: dict[str, Queue]) -> None:
        super().__init__("", "direct", True, False, False, {})
        self._queues = queues
        self.match = self._queue_of

    def _queue_of(self, routing_key: str, _: Message) -> Collection[Queue]:
        queue = self._queues.get(routing_key)
        return () if queue is None else (queue,)


class Vhost:
    """One virtual host; see `netdemo.broker.queues.Home`.

    What is durable is written to `store` too, if there is one.
    """

    def __init__(
        self,
        name: str,
        turns: Turns,
        memory: Memory,
        store: Store | None,
    ) -> None:
        self.name = name
        self.turns = turns
        self.memory = memory
        self.store = store
        self.queues: dict[str, Queue] = {}
        self.exchanges: dict[str, Source] = {"": DefaultExchange(self.queues)}
        for exchange, kind in PREDECLARED.items():
            internal = exchange == "amq.rabbitmq.trace"
            self.exchanges[exchange] = Exchange(exchange, kind, True, False, internal, {})
        self._sources: dict[Destination, dict[Source, None]] = {}
        """From where bindings lead to what."""
        self._exclusive: dict[object, dict[Queue, None]] = {}
        """Queues by the connection that they are exclusive to."""
        self._is_simple = True
        """Whether bindings lead from exchanges to queues alone, and there are no alternates."""
        self._dying: deque[tuple[Queue, Message, str, Callable[[], None]]] = deque()

    def exchange(self, name: str) -> Source:
        """Return an exchange, or raise `NotFound`."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise NotFound(f"no exchange '{name}' in vhost '{self.name}'")
        return exchange

    def queue(self, name: str) -> Queue:
        """Return a queue, or raise `NotFound`."""
        queue = self.queues.get(name)
        if queue is None:
            raise self.no_queue(name)
        return queue

    def no_queue(self, name: str) -> NotFound:
        """Return the refusal of a queue that is not there."""
        return NotFound(f"no queue '{name}' in vhost '{self.name}'")

    def route(self, exchange: Source, message: Message, keys: Sequence[str]) -> Collection[Queue]:
        """Return the queues to which ``message`` goes from ``exchange``, each once."""
        if self._is_simple and len(keys) == 1:
            return exchange.match(keys[0], message)
        queues: dict[Queue, None] = {}
        way, seen = [exchange], {exchange}
        for each in way:
            found = [target for key in keys for target in each.match(key, message)]
            if not found and each.alternate in self.exchanges:
                found = [self.exchanges[each.alternate]]
            for target in found:
                if isinstance(target, Queue):
                    queues[target] = None
                elif target not in seen:
                    seen.add(target)
                    way.append(target)
        return queues

    def add_exchange(self, exchange: Source) -> None:
        """Add what is declared."""
        self.exchanges[exchange.name] = exchange
        if exchange.alternate is not None:
            self._is_simple = False
        if self.store is not None and exchange.durable:
            self.store.add_exchange(
                self.name,
                exchange.name,
                exchange.kind,
                exchange.auto_delete,
                exchange.internal,
                write_table(exchange.arguments),
            )

    def delete_exchange(self, exchange: Source, if_unused: bool = False) -> None:
        """Delete it and its bindings.

        :raises PreconditionFailed: when it is in use and should not be.
        """
        if if_unused and exchange.bound:
            raise PreconditionFailed(f"exchange '{exchange.name}' in vhost '{self.name}' in use")
        self._remove_exchange(exchange)
        self._forget_destination(exchange)

    def _remove_exchange(self, exchange: Source) -> None:
        """Forget it, and the bindings that lead from it."""
        del self.exchanges[exchange.name]
        if self.store is not None and exchange.durable:
            self.store.remove_exchange(self.name, exchange.name)
        for destination in {binding.destination: None for binding in exchange.bindings}:
            for _, key, arguments in exchange.forget(destination):
                self._forget_binding(exchange, destination, key, arguments)

    def new_queue_name(self) -> str:
        """Return a name for a queue that was declared without one."""
        return f"amq.gen-{secrets.token_urlsafe(16)}"

    def add_queue(
        self,
        name: str,
        limits: QueueArguments,
        arguments: dict[str, Any],
        durable: bool,
        auto_delete: bool,
        owner: object,
    ) -> Queue:
        """Add what is declared; ``limits`` is what its ``arguments`` say."""
        stored = self.store is not None and durable and owner is None
        number = self.store.new_queue_id() if self.store is not None and stored else 0
        queue = Queue(
            name,
            self,
            limits,
            arguments,
            number=number,
            durable=durable,
            auto_delete=auto_delete,
            owner=owner,
        )
        self.queues[name] = queue
        if owner is not None:
            self._exclusive.setdefault(owner, {})[queue] = None
        if self.store is not None and stored:
            self.store.add_queue(number, self.name, name, auto_delete, write_table(arguments))
        return queue

    def delete_queue(self, queue: Queue) -> None:
        """Delete it and its bindings."""
        del self.queues[queue.name]
        self._exclusive.get(queue.owner, {}).pop(queue, None)
        queue.end()
        if self.store is not None and queue.number:
            self.store.remove_queue(queue.number)
        self._forget_destination(queue)

    def bind(
        self,
        source: Source,
        destination: Destination,
        key: str,
        arguments: dict[str, Any],
    ) -> None:
        """Bind ``destination`` to ``source``."""
        if not source.bind(destination, key, arguments):
            return
        self._bound(source, destination)
        if self.store is not None and _is_stored(source) and _is_stored(destination):
            self.store.add_binding(
                self.name,
                source.name,
                _kind_of(destination),
                destination.name,
                key,
                write_table(arguments),
            )

    def unbind(
        self,
        source: Source,
        destination: Destination,
        key: str,
        arguments: dict[str, Any],
    ) -> None:
        """Take a binding away, if it is there."""
        if source.unbind(destination, key, arguments):
            self._forget_binding(source, destination, key, arguments)
            if self._is_unused(source):
                self.delete_exchange(source)

    def restore_exchange(self, exchange: Source) -> None:
        """Take an exchange from the store."""
        self.exchanges[exchange.name] = exchange
        if exchange.alternate is not None:
            self._is_simple = False

    def restore_queue(
        self, stored: StoredQueue, limits: QueueArguments, arguments: dict[str, Any]
    ) -> None:
        """Take a queue, with what is in it, from the store."""
        queue = self.queues[stored.name] = Queue(
            stored.name,
            self,
            limits,
            arguments,
            number=stored.id,
            durable=True,
            auto_delete=stored.auto_delete,
        )
        queue.restore(stored)

    def restore_binding(self, stored: StoredBinding) -> None:
        """Take a binding from the store."""
        queues_or_exchanges: Mapping[str, Any] = (
            self.queues if stored.destination_kind == "queue" else self.exchanges
        )
        source = self.exchanges[stored.source]
        destination = queues_or_exchanges[stored.destination]
        source.bind(destination, stored.key, read_table(stored.arguments))
        self._bound(source, destination)

    def dead_letter(
        self, queue: Queue, message: Message, reason: str, buried: Callable[[], None]
    ) -> None:
        """Publish ``message``, which has died in ``queue``, to its dead letter exchange.

        ``buried`` is called then.
        """
        if queue.limits.dead_letter_exchange is None:
            buried()
            return
        self._dying.append((queue, message, reason, buried))
        if len(self._dying) > 1:
            return  # one death has led to another
        while self._dying:
            try:
                self._bury(*self._dying[0])
            finally:
                self._dying.popleft()

    def connection_ended(self, connection: object) -> None:
        """Delete the queues that were exclusive to a connection."""
        for queue in list(self._exclusive.pop(connection, ())):
            self.delete_queue(queue)

    def _bury(
        self, queue: Queue, message: Message, reason: str, buried: Callable[[], None]
    ) -> None:
        try:
            self._publish_dead(queue, message, reason)
        finally:
            buried()

    def _publish_dead(self, queue: Queue, message: Message, reason: str) -> None:
        limits = queue.limits
        name, key = limits.dead_letter_exchange, limits.dead_letter_routing_key
        exchange = self.exchanges.get(name or "")
        if exchange is None:
            return
        dead = dead_letter(message, queue.name, reason, exchange.name, key, self.turns.seconds())
        headers = split_table(split_header(dead.header)["headers"])
        keys = [dead.routing_key, *copies(headers)]
        past = deaths(headers)
        for target in self.route(exchange, dead, keys):
            if reason == REJECTED or not goes_in_circles(past, target.name):
                target.push(dead)

    def _bound(self, source: Source, destination: Destination) -> None:
        self._sources.setdefault(destination, {})[source] = None
        if isinstance(destination, Exchange):
            self._is_simple = False

    def _forget_destination(self, destination: Destination) -> None:
        """Forget the bindings that lead to it, and auto-delete exchanges that led there alone."""
        gone: list[Destination] = [destination]
        for each in gone:
            for source in self._sources.pop(each, {}):
                for _, key, arguments in source.forget(each):
                    self._forget_binding(source, each, key, arguments)
                if self._is_unused(source):
                    self._remove_exchange(source)
                    gone.append(source)

    def _forget_binding(
        self,
        source: Source,
        destination: Destination,
        key: str,
        arguments: dict[str, Any],
    ) -> None:
        if not source.leads_to(destination):
            sources = self._sources.get(destination, {})
            sources.pop(source, None)
            if not sources:
                self._sources.pop(destination, None)
        if self.store is not None and _is_stored(source) and _is_stored(destination):
            self.store.remove_binding(
                self.name,
                source.name,
                _kind_of(destination),
                destination.name,
                key,
                write_table(arguments),
            )

    def _is_unused(self, exchange: Source) -> bool:
        return exchange.auto_delete and not exchange.bound and exchange.name in self.exchanges


def _is_stored(item: Destination) -> bool:
    return item.durable and not (isinstance(item, Queue) and item.owner is not None)


def _kind_of(item: Destination) -> str:
    return "queue" if isinstance(item, Queue) else "exchange"
