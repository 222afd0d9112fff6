"""The broker: its virtual hosts, what they hold in memory, and who is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed

from netdemo.broker.arguments import parse_queue_arguments
from netdemo.broker.exchanges import Exchange
from netdemo.broker.memory import MAX_MEMORY, Memory
from netdemo.broker.replies import Replies
from netdemo.broker.tables import read_table
from netdemo.broker.turns import Turns
from netdemo.broker.vhost import Vhost

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from netdemo.broker.connection import Connection
    from netdemo.broker.schema import Stored
    from netdemo.broker.store import Store
    from netdemo.broker.users import Users

MAX_WAITING: Final = 64 * 1024 * 1024
"""Bytes that wait to be written to the store, above which publishers are blocked."""

LOW_MEMORY: Final = "low on memory"
LOW_DISK: Final = "low on disk"


class Broker:
    """One broker. What is in `store`, if there is one, is there again."""

    def __init__(
        self,
        clock: IReactorTime,
        users: Users,
        store: Store | None = None,
        max_memory: int = MAX_MEMORY,
    ) -> None:
        self.users = users
        self.store = store
        self.turns = Turns(clock, store)
        self.replies = Replies()
        self.memory = Memory(max_memory)
        self.memory.on_alarm = lambda _: self.check_alarms()
        self.connections: dict[Connection, None] = {}
        self._blocked: dict[Connection, None] = {}
        self.vhosts: dict[str, Vhost] = {}
        for name in users.vhosts:
            self.vhost(name)
        if store is not None:
            store.on_progress = lambda: self.turns.run(self.check_alarms)
            self.turns.run(self._restore, store.load())

    def vhost(self, name: str) -> Vhost:
        """Return a virtual host, which is made if there is none of the name."""
        if name not in self.vhosts:
            self.vhosts[name] = Vhost(name, self.turns, self.memory, self.store)
        return self.vhosts[name]

    @property
    def alarm(self) -> str | None:
        """Why publishers are blocked now, ``None`` when they are not."""
        if self.memory.alarm:
            return LOW_MEMORY
        store = self.store
        if store is not None and (store.failing or store.waiting_bytes > MAX_WAITING):
            return LOW_DISK
        return None

    def block(self, connection: Connection) -> None:
        """Have ``connection`` told when publishers may go on."""
        self._blocked[connection] = None

    def ended(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.pop(connection, None)
        self._blocked.pop(connection, None)

    def check_alarms(self) -> None:
        """Let blocked publishers go on if there is no reason any more to block them."""
        if self._blocked and self.alarm is None:
            blocked, self._blocked = self._blocked, {}
            for connection in blocked:
                connection.unblock()

    def stop(self) -> Deferred[None]:
        """Stop all clocks and close the store, when nobody is connected any more."""
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                queue.stop()
        return succeed(None) if self.store is None else self.store.close()

    def _restore(self, stored: Stored) -> None:
        for each in stored.exchanges:
            exchange = Exchange[Any](
                each.name,
                each.kind,
                True,
                each.auto_delete,
                each.internal,
                read_table(each.arguments),
            )
            self.vhost(each.vhost).restore_exchange(exchange)
        for queue in stored.queues:
            table = read_table(queue.arguments)
            vhost = self.vhost(queue.vhost)
            vhost.restore_queue(queue, parse_queue_arguments(queue.name, vhost.name, table), table)
        for binding in stored.bindings:
            self.vhost(binding.vhost).restore_binding(binding)
