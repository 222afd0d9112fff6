"""The file in which a store keeps what survives a restart: a SQLite database, format 1.

A store is a folder with ``store.sqlite`` in it, and beside that ``store.sqlite-wal`` while it is
open or was left by a crash. ``application_id`` is 0x4E444D51 and ``user_version`` the format.
They are in the file before any log (WAL) is, so they can be told without reading one.

========== ======================================================================================
exchanges  vhost, name, kind, auto_delete, internal, arguments
queues     id, vhost, name, auto_delete, arguments, delivered: the highest position that was ever
           handed to a consumer, -1 for none
bindings   vhost, source, destination_kind, destination, key, arguments
messages   id: ``queue_id << 40 | position``, so that a queue is one range of the table;
           then what a `Message` holds; expires_at in seconds, NULL for never
emptied    first, last: ids of messages that are removed, and deleted piece by piece
========== ======================================================================================

Names are BLOBs, UTF-8 or what else was on the wire; arguments are tables as AMQP encodes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

POSITION_BITS: Final = 40
LAST_POSITION: Final = (1 << POSITION_BITS) - 1
LAST_QUEUE_ID: Final = (1 << (63 - POSITION_BITS)) - 1

Span = tuple[int, int]
"""First and last of some ids."""

TABLES: Final = {
    "exchanges": "CREATE TABLE exchanges (vhost BLOB NOT NULL, name BLOB NOT NULL,"
    " kind TEXT NOT NULL, auto_delete INTEGER NOT NULL, internal INTEGER NOT NULL,"
    " arguments BLOB NOT NULL, UNIQUE (vhost, name))",
    "queues": "CREATE TABLE queues (id INTEGER PRIMARY KEY, vhost BLOB NOT NULL,"
    " name BLOB NOT NULL, auto_delete INTEGER NOT NULL, arguments BLOB NOT NULL,"
    " delivered INTEGER NOT NULL, UNIQUE (vhost, name))",
    "bindings": "CREATE TABLE bindings (vhost BLOB NOT NULL, source BLOB NOT NULL,"
    " destination_kind TEXT NOT NULL, destination BLOB NOT NULL, key BLOB NOT NULL,"
    " arguments BLOB NOT NULL,"
    " UNIQUE (vhost, source, destination_kind, destination, key, arguments))",
    "messages": "CREATE TABLE messages (id INTEGER PRIMARY KEY, exchange BLOB NOT NULL,"
    " routing_key BLOB NOT NULL, persistent INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " expiration INTEGER, expires_at REAL, header BLOB NOT NULL, body BLOB NOT NULL)",
    "emptied": "CREATE TABLE emptied (first INTEGER NOT NULL, last INTEGER NOT NULL)",
}


@attrs.frozen
class StoredExchange:
    """A durable exchange."""

    vhost: str
    name: str
    kind: str
    auto_delete: bool
    internal: bool
    arguments: bytes


@attrs.frozen
class StoredQueue:
    """A durable queue, and how much is in it.

    `lowest` and `highest` are positions, -1 in an empty queue, as `delivered` is where nothing
    was ever handed to a consumer. New messages come at `next_position` and after: at what is
    before it there were others, which may still have to be deleted.
    """

    id: int
    vhost: str
    name: str
    auto_delete: bool
    arguments: bytes
    delivered: int = -1
    messages: int = 0
    body_bytes: int = 0
    lowest: int = -1
    highest: int = -1
    next_position: int = 0


@attrs.frozen
class StoredBinding:
    """A binding of a durable exchange to a durable queue or exchange."""

    vhost: str
    source: str
    destination_kind: str
    destination: str
    key: str
    arguments: bytes


@attrs.frozen
class Stored:
    """What was in a store when it was opened, in the order in which it was added.

    `emptied` are ranges of ids of messages that do not count any more.
    """

    exchanges: tuple[StoredExchange, ...] = ()
    queues: tuple[StoredQueue, ...] = ()
    bindings: tuple[StoredBinding, ...] = ()
    emptied: tuple[Span, ...] = ()


def encoded(name: str) -> bytes:
    """Return a name as it is on the wire."""
    return name.encode("utf-8", "surrogateescape")


def decoded(name: bytes) -> str:
    """Return the name that was on the wire."""
    return name.decode("utf-8", "surrogateescape")


def queue_range(queue_id: int) -> Span:
    """Return the first and last id that a message in a queue can have."""
    return queue_id << POSITION_BITS, queue_id << POSITION_BITS | LAST_POSITION


def outside(first: int, last: int, gone: Iterable[Span]) -> list[Span]:
    """Return what of the range ``first`` to ``last`` is in none of the ranges ``gone``."""
    spans = []
    for low, high in sorted(gone):
        if high >= first and low <= last:
            if low > first:
                spans.append((first, low - 1))
            first = high + 1
    if first <= last:
        spans.append((first, last))
    return spans


def read(connection: sqlite3.Connection) -> Stored:
    """Return what is in a store; this reads all but the bodies of large messages."""
    emptied = tuple(connection.execute("SELECT first, last FROM emptied ORDER BY rowid"))
    exchanges = connection.execute(
        "SELECT vhost, name, kind, auto_delete, internal, arguments FROM exchanges ORDER BY rowid"
    )
    queues = connection.execute(
        "SELECT id, vhost, name, auto_delete, arguments, delivered FROM queues ORDER BY id"
    )
    bindings = connection.execute(
        "SELECT vhost, source, destination_kind, destination, key, arguments FROM bindings"
        " ORDER BY rowid"
    )
    return Stored(
        tuple(
            StoredExchange(
                decoded(vhost), decoded(name), kind, bool(auto_delete), bool(internal), arguments
            )
            for vhost, name, kind, auto_delete, internal, arguments in exchanges
        ),
        tuple(
            StoredQueue(
                queue_id,
                decoded(vhost),
                decoded(name),
                bool(auto_delete),
                arguments,
                delivered,
                *_contents(connection, queue_id, delivered, emptied),
            )
            for queue_id, vhost, name, auto_delete, arguments, delivered in queues.fetchall()
        ),
        tuple(
            StoredBinding(decoded(vhost), decoded(source), kind, decoded(to), decoded(key), table)
            for vhost, source, kind, to, key, table in bindings
        ),
        emptied,
    )


def _contents(
    connection: sqlite3.Connection, queue_id: int, delivered: int, emptied: Iterable[Span]
) -> tuple[int, int, int, int, int]:
    """Return what a `StoredQueue` tells of its messages, from their number on."""
    messages, body_bytes, lowest, highest = 0, 0, -1, -1
    first, last = queue_range(queue_id)
    for span in outside(first, last, emptied):
        number, size, low, high = connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0), min(id), max(id) FROM messages"
            " WHERE id BETWEEN ? AND ?",
            span,
        ).fetchone()
        if number:
            messages += number
            body_bytes += size
            lowest = low - first if lowest < 0 else lowest
            highest = high - first
    gone = [high - first for low, high in emptied if first <= low <= last]
    return messages, body_bytes, lowest, highest, max([delivered, highest, *gone]) + 1
