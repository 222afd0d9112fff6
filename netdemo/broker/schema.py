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

import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING, Final

import attrs

from netdemo.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VERSION: Final = 1
APPLICATION_ID: Final = 0x4E444D51
FILE: Final = "store.sqlite"

POSITION_BITS: Final = 40
LAST_POSITION: Final = (1 << POSITION_BITS) - 1
LAST_QUEUE_ID: Final = (1 << (63 - POSITION_BITS)) - 1

CHECKPOINT: Final = 16 * 1024 * 1024
"""Bytes in the log from which each commit tries to bring them home and begin it anew."""

LOG_KEPT: Final = 64 * 1024 * 1024
"""Bytes to which the log's file is cut when it begins anew after having been larger."""

CACHE: Final = 16 * 1024 * 1024
"""Bytes of pages that each of the two connections keeps."""

PATIENCE: Final = 5.0
"""Seconds that one of our connections waits for the other before it fails."""

WRITABLE: Final = "a folder that can be written, and is used by nobody else"

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


@attrs.frozen
class Database:
    """An open store: a connection that writes, one that reads, and what was there at first.

    In memory both are the same.
    """

    name: str
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    stored: Stored
    lock: int | None = None

    def close(self) -> None:
        """Bring all that is in the log home, remove it, and let others have the folder."""
        self.reader.close()
        self.writer.close()
        if self.lock is not None:
            os.close(self.lock)


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
    """Return what of the range `first` to `last` is in none of the ranges `gone`."""
    spans = []
    for low, high in sorted(gone):
        if high >= first and low <= last:
            if low > first:
                spans.append((first, low - 1))
            first = high + 1
    if first <= last:
        spans.append((first, last))
    return spans


def memory_database() -> Database:
    """Return a new store in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _create_tables(connection)
    return Database(":memory:", connection, connection, Stored())


def open_database(directory: Path) -> Database:
    """Open the store in a folder, which is made if there is none.

    What is refused is left as it was, byte for byte. The check reads all of it: about 3 s a GB.

    :raises StoreError: if it is in use, damaged, of another version, or can't be written.
    """
    lock = _lock(directory)
    try:
        file = directory.absolute() / FILE
        stored = _check(directory, file) if file.exists() else _create(directory, file)
        writer = _connect(file)
        try:
            writer.execute("BEGIN IMMEDIATE").execute("ROLLBACK")
            reader = _connect(file)
        except sqlite3.Error:
            writer.close()
            raise
    except BaseException as error:
        os.close(lock)
        if isinstance(error, sqlite3.Error):
            raise _refusal(directory, f"can't be opened: {error}", WRITABLE) from error
        raise
    return Database(str(directory), writer, reader, stored, lock)


def _refusal(directory: Path, what: str, expected: str) -> StoreError:
    return StoreError(f"{directory}: the store {' '.join(what.split())}; expected {expected}")


def _lock(directory: Path) -> int:
    """Return a descriptor of the folder; who has it has the store.

    It is no file in the folder, and not SQLite's lock, which knows no owners within a process.
    """
    lock = None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if lock is not None:
            os.close(lock)
        if isinstance(error, BlockingIOError):
            raise _refusal(directory, "is in use already", WRITABLE) from error
        what = f"can't have that folder: {error.strerror}"
        raise _refusal(directory, what, WRITABLE) from error
    return lock


def _connect(file: Path) -> sqlite3.Connection:
    """Open the database for us alone, with the log's index in memory ("unix-excl").

    No reader of another process can keep the log from beginning anew, so it does not grow.
    """
    connection = sqlite3.connect(
        f"{file.as_uri()}?mode=rw&vfs=unix-excl",
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA cache_size = -{CACHE // 1024}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_KEPT}")
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT // page_size}")
        connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for table in TABLES.values():
        connection.execute(table)
    connection.execute("COMMIT")


def _create(directory: Path, file: Path) -> Stored:
    """Make a new database under another name: there is a whole one, or none."""
    if (directory / f"{FILE}-wal").exists():  # SQLite would take it for the new one's
        raise _refusal(directory, f"has lost its {FILE}", f"it beside {FILE}-wal")
    new = directory.absolute() / f"{FILE}.new"
    try:
        for leftover in directory.glob(f"{FILE}.new*"):
            leftover.unlink()
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            _create_tables(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        new.rename(file)
        folder = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _refusal(directory, f"can't be made: {error.strerror}", WRITABLE) from error
    return Stored()


def _check(directory: Path, file: Path) -> Stored:
    """Return what is in the store.

    It is read without locks and without write access, so that not even its log is brought home.
    """
    expected = f"one of version {VERSION}"
    connection = sqlite3.connect(
        f"{file.as_uri()}?mode=ro&vfs=unix-none", isolation_level=None, uri=True
    )
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise _refusal(directory, f"is none: {FILE} is another program's", expected)
        if version != VERSION:
            raise _refusal(directory, f"is of version {version}", expected)
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))
        if tables != TABLES:
            raise _refusal(directory, f"has the tables {', '.join(sorted(tables))}", expected)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _refusal(directory, f"is damaged: {verdict}", "a sound one")
        return _read(connection)
    except sqlite3.Error as error:
        raise _refusal(directory, f"is damaged: {error}", "a sound one") from error
    finally:
        connection.close()


def _read(connection: sqlite3.Connection) -> Stored:
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
    connection: sqlite3.Connection, queue_id: int, next_after: int, emptied: Iterable[Span]
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
    return messages, body_bytes, lowest, highest, max([next_after, highest, *gone]) + 1
