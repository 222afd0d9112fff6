"""What survives a restart: durable definitions and persistent messages, in SQLite.

A store holds messages by the id of a queue and the position in it; a position is used once. A
message that is in several queues is stored once for each of them, as RabbitMQ embeds it in the
index of each while it is small.

Everything is called in the reactor's thread and changes memory alone; what changed is written in
batches, each one transaction, by one thread (group commit). What changed together, between two
calls of `Store.commit`, is on disk together or not at all, unless it was more than MAX_ROWS or
MAX_BYTES: then in that order.
"""

from __future__ import annotations

import contextlib
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import execute

from netdemo.broker.commits import Commits
from netdemo.broker.database import memory_database, open_database
from netdemo.broker.message import Message
from netdemo.broker.schema import (
    LAST_POSITION,
    LAST_QUEUE_ID,
    POSITION_BITS,
    decoded,
    encoded,
    outside,
    queue_range,
)
from netdemo.sqlite_file import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from netdemo.broker.database import Database
    from netdemo.broker.schema import Stored
    from netdemo.sqlite_file import RunInThread

MAX_ROWS: Final = 8192
"""Messages put and removed in one transaction."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of messages, as `Message.size` counts them, from which a transaction takes no more."""

_FETCH: Final = (
    "SELECT id, exchange, routing_key, header, body, persistent, priority, expiration, expires_at"
    " FROM messages WHERE id BETWEEN ? AND ? ORDER BY id"
)


def memory_store(clock: IReactorTime) -> Store:
    """Return a store in memory, without a thread: what is to commit is when ``commit`` returns."""
    return Store(memory_database(), execute, clock)


def open_store(directory: Path, reactor: Any) -> Store:
    """Open the store in a folder; made, with mode 0700, if there is none.

    It holds a lock and has a thread, so a process that forks opens it afterwards.

    :raises StoreError: if it can't be used; it is left as it was.
    """
    database = open_database(directory)
    run_in_thread, stop = start_thread(reactor, "netdemo-store")
    return Store(database, run_in_thread, reactor, stop)


class Store(Commits):
    """Definitions and messages, in memory until ``commit`` has written them.

    Names are ``str``, arguments a table as AMQP encodes it.
    """

    def __init__(
        self,
        database: Database,
        run_in_thread: RunInThread,
        clock: IReactorTime,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(database, run_in_thread, clock, ended)
        self._queue_ids = {queue.id for queue in database.stored.queues}
        # An id whose messages are still being deleted is not given to a new queue.
        emptied = {first >> POSITION_BITS for first, _ in database.stored.emptied}
        self._last_queue_id = max(self._queue_ids | emptied, default=0)

    def load(self) -> Stored:
        """Return what was there when it was opened."""
        return self._database.stored

    def add_exchange(
        self,
        vhost: str,
        name: str,
        kind: str,
        auto_delete: bool,
        internal: bool,
        arguments: bytes,
    ) -> None:
        """Add an exchange, or put it in the place of one."""
        self._define(
            "INSERT OR REPLACE INTO exchanges VALUES (?, ?, ?, ?, ?, ?)",
            *(encoded(vhost), encoded(name), kind, auto_delete, internal, arguments),
        )

    def remove_exchange(self, vhost: str, name: str) -> None:
        """Remove an exchange; its bindings are removed one by one."""
        self._define(
            "DELETE FROM exchanges WHERE vhost = ? AND name = ?", encoded(vhost), encoded(name)
        )

    def new_queue_id(self) -> int:
        """Return an id for a queue to be added."""
        while True:
            self._last_queue_id = self._last_queue_id % LAST_QUEUE_ID + 1
            if self._last_queue_id not in self._queue_ids:
                return self._last_queue_id

    def add_queue(
        self, queue_id: int, vhost: str, name: str, auto_delete: bool, arguments: bytes
    ) -> None:
        """Add a queue."""
        self._queue_ids.add(queue_id)
        self._define(
            "INSERT OR REPLACE INTO queues VALUES (?, ?, ?, ?, ?, -1)",
            *(queue_id, encoded(vhost), encoded(name), auto_delete, arguments),
        )

    def remove_queue(self, queue_id: int) -> None:
        """Remove a queue and its messages; its bindings are removed one by one."""
        self._queue_ids.discard(queue_id)
        self._define("DELETE FROM queues WHERE id = ?", queue_id)
        self.purge(queue_id)

    def add_binding(
        self,
        vhost: str,
        source: str,
        destination_kind: str,
        destination: str,
        key: str,
        arguments: bytes,
    ) -> None:
        """Add a binding."""
        self._define(
            "INSERT OR REPLACE INTO bindings VALUES (?, ?, ?, ?, ?, ?)",
            *(encoded(vhost), encoded(source), destination_kind, encoded(destination)),
            *(encoded(key), arguments),
        )

    def remove_binding(
        self,
        vhost: str,
        source: str,
        destination_kind: str,
        destination: str,
        key: str,
        arguments: bytes,
    ) -> None:
        """Remove a binding."""
        self._define(
            "DELETE FROM bindings WHERE vhost = ? AND source = ? AND destination_kind = ?"
            " AND destination = ? AND key = ? AND arguments = ?",
            *(encoded(vhost), encoded(source), destination_kind, encoded(destination)),
            *(encoded(key), arguments),
        )

    def put(self, queue_id: int, position: int, message: Message, expires_at: float | None) -> None:
        """Add a message to a queue at a position that was never used."""
        batch = self._batch
        batch.changes[queue_id][position] = message, expires_at
        batch.rows += 1
        size = message.size
        batch.size += size
        self.waiting_bytes += size
        if batch.size >= MAX_BYTES or batch.rows >= MAX_ROWS:
            self._seal()

    def remove(self, queue_id: int, position: int) -> None:
        """Remove a message; one that was put since the last commit does not reach the disk."""
        batch = self._batch
        changes = batch.changes[queue_id]
        put = changes.pop(position, None)
        if put is None:
            changes[position] = None
            batch.rows += 1
            if batch.rows >= MAX_ROWS:
                self._seal()
        else:
            size = put[0].size
            batch.rows -= 1
            batch.size -= size
            self.waiting_bytes -= size

    def purge(self, queue_id: int, first: int = 0, last: int = LAST_POSITION) -> None:
        """Remove the messages of a queue from position ``first`` to ``last``.

        They count no more at once; on disk they are deleted piece by piece, between batches.
        """
        changes = self._batch.changes[queue_id]
        for position in [each for each in changes if changes[each] and first <= each <= last]:
            self.remove(queue_id, position)
        start, end = queue_range(queue_id)
        (highest,) = self._database.reader.execute(
            "SELECT max(id) FROM messages WHERE id BETWEEN ? AND ?", (start, end)
        ).fetchone()
        ids = [start | each for batch in self._batches for each in batch.changes.get(queue_id, ())]
        if highest is not None:
            ids.append(highest)
        span = start | first, min(start | last, max(ids, default=0))
        if span[0] <= span[1]:
            self._define("INSERT INTO emptied VALUES (?, ?)", *span)
            self._batch.emptied.append(span)

    def delivered(self, queue_id: int, position: int) -> None:
        """Note the highest position of a queue that was ever handed to a consumer.

        It is written with the next batch that there is, or by ``close``.
        """
        delivered = self._batch.delivered
        if position > delivered.get(queue_id, -1):
            delivered[queue_id] = position

    def fetch(
        self, queue_id: int, first: int, last: int, limit: int
    ) -> list[tuple[int, Message, float | None]]:
        """Return the messages of a queue at the positions ``first`` to ``last``, lowest first.

        There are at most ``limit``, each with its position and the time at which it expires.
        """
        start = queue_id << POSITION_BITS
        changes: dict[int, tuple[Message, float | None] | None] = {}
        for batch in self._batches:
            if queue_id in batch.changes:
                changes.update(batch.changes[queue_id])
        gone = [*self._emptied, *(span for batch in self._batches for span in batch.emptied)]
        spans = outside(start | first, start | min(last, LAST_POSITION), gone)
        found = list(self._stored(spans, changes, limit))
        put = [
            (position, *change)
            for position, change in changes.items()
            if change and any(low <= start | position <= high for low, high in spans)
        ]
        return sorted(found + put, key=itemgetter(0))[:limit] if put else found

    def _define(self, statement: str, *values: Any) -> None:
        self._batch.definitions.append((statement, values))

    def _stored(
        self, spans: Iterable[tuple[int, int]], changes: Collection[int], limit: int
    ) -> Iterator[tuple[int, Message, float | None]]:
        """Yield at most ``limit`` messages that are on disk, without those in ``changes``."""
        for span in spans:
            with contextlib.closing(self._database.reader.execute(_FETCH, span)) as rows:
                for row_id, exchange, key, header, body, persistent, priority, ttl, end in rows:
                    if limit <= 0:
                        return
                    position = row_id & LAST_POSITION
                    if position not in changes:
                        limit -= 1
                        message = Message(
                            decoded(exchange),
                            decoded(key),
                            header,
                            body,
                            bool(persistent),
                            priority,
                            ttl,
                        )
                        yield position, message, end
