"""The file of a spool: a SQLite database, format 1, opened for us alone or looked into.

A spool is a folder with ``spool.sqlite`` in it, and beside that ``spool.sqlite-wal`` and
``spool.sqlite-shm`` while it is open or was left by a crash. ``application_id`` is 0x4E444D53 and
``user_version`` the format.

======  ==========================================================================================
routes  id; name, a route's text; destination, as in it
blocks  id: ``refused << 62 | route << 40 | number``, oldest first; then what a `Block` holds.
        What the broker refused is moved to the blocks whose `refused` is 1, each of one record
======  ==========================================================================================
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from netdemo.bridge.spool_blocks import COLUMNS, Block, stored_block
from netdemo.errors import SpoolFull
from netdemo.sqlite_format import UNLOCKED, WRITABLE, SQLiteFormat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE: Final = "spool.sqlite"

NUMBER_BITS: Final = 40
REFUSED: Final = 1 << 62

RESERVE: Final = 1024 * 1024
"""Bytes of the disk that no record takes: to delete one needs room, too."""

PLENTY: Final = 256 * 1024 * 1024
"""Free bytes of the disk above which it is not looked at more closely."""

READ_BLOCKS: Final = 64
"""Blocks that are read at once."""

TABLES: Final = {
    "routes": "CREATE TABLE routes (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
    " destination BLOB NOT NULL)",
    "blocks": "CREATE TABLE blocks (id INTEGER PRIMARY KEY, records INTEGER NOT NULL,"
    " size INTEGER NOT NULL, taken_at REAL NOT NULL, message_ids TEXT NOT NULL,"
    " first INTEGER NOT NULL, mandatory INTEGER NOT NULL, content_type TEXT,"
    " delivery_mode INTEGER NOT NULL, settled BLOB NOT NULL, lengths BLOB NOT NULL,"
    " routing_keys TEXT, headers TEXT, bodies BLOB NOT NULL)",
}

FORMAT: Final = SQLiteFormat(
    what="spool",
    file=FILE,
    application_id=0x4E444D53,
    version=1,
    tables=TABLES,
    checkpoint=8 * 1024 * 1024,
    log_kept=32 * 1024 * 1024,
    cache=8 * 1024 * 1024,
)

_SELECT: Final = (
    f"SELECT {', '.join(COLUMNS)} FROM blocks WHERE id > ? AND id <= ? ORDER BY id"
    f" LIMIT {READ_BLOCKS}"
)


@attrs.frozen
class StoredRoute:
    """A route that has something in a spool.

    `highest` is the id of its newest block, that of none if it has none; so is `highest_refused`.
    """

    id: int
    name: str
    destination: str
    blocks: int = 0
    records: int = 0
    size: int = 0
    oldest: float | None = None
    highest: int = 0
    highest_refused: int = 0
    refused: int = 0


def first_id(route_id: int, refused: int = 0) -> int:
    """Return an id below those of all blocks of a route."""
    return refused | route_id << NUMBER_BITS


def last_id(route_id: int, refused: int = 0) -> int:
    """Return the last id that a block of a route can have."""
    return refused | (route_id + 1 << NUMBER_BITS) - 1


def stored_routes(connection: sqlite3.Connection) -> list[StoredRoute]:
    """Return the routes in a spool, and what they have in it; no record is read."""
    routes = []
    for route_id, name, destination in connection.execute(
        "SELECT id, name, destination FROM routes ORDER BY id"
    ).fetchall():
        in_order, aside = (_contents(connection, route_id, kind) for kind in (0, REFUSED))
        oldest = [each for each in (in_order[3], aside[3]) if each is not None]
        routes.append(
            StoredRoute(
                route_id,
                _decoded(name),
                _decoded(destination),
                in_order[0] + aside[0],
                in_order[1] + aside[1],
                in_order[2] + aside[2],
                min(oldest, default=None),
                in_order[4],
                aside[4],
                aside[1],
            )
        )
    return routes


def _contents(
    connection: sqlite3.Connection, route_id: int, kind: int
) -> tuple[int, int, int, float | None, int]:
    first = first_id(route_id, kind)
    found: tuple[int, int, int, float | None, int] = connection.execute(
        "SELECT count(*), coalesce(sum(records), 0), coalesce(sum(size), 0),"
        " min(taken_at), coalesce(max(id), ?1) FROM blocks WHERE id > ?1 AND id <= ?2",
        (first, last_id(route_id, kind)),
    ).fetchone()
    return found


def read_blocks(
    connection: sqlite3.Connection, after: int, last: int, records: int, size: int
) -> list[Block]:
    """Return the oldest blocks with an id above ``after`` and up to ``last``.

    They are the first, and those that make up about so many ``records`` and ``size`` bytes.
    """
    blocks: list[Block] = []
    rows = connection.execute(_SELECT, (after, last))
    for row in rows:
        blocks.append(stored_block(row))
        records -= len(blocks[-1].bodies)
        size -= blocks[-1].size
        if records <= 0 or size <= 0:
            break
    rows.close()
    return blocks


def route_row(route: StoredRoute) -> tuple[int, bytes, bytes]:
    """Return what is stored of a route."""
    return route.id, _encoded(route.name), _encoded(route.destination)


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@attrs.frozen
class SpoolFile:
    """An open spool, and what was there at first."""

    name: str
    connection: sqlite3.Connection
    stored: list[StoredRoute]
    lock: int | None = None
    file: Path | None = None

    def close(self) -> None:
        """Bring all that is in the log home, remove it, and let others have the folder."""
        self.connection.close()
        if self.lock is not None:
            os.close(self.lock)

    def check_room(self, size: int) -> None:
        """Refuse to write ``size`` bytes where they would take the room that deleting needs.

        It goes into the log, and then home, where what was deleted has left room. What is in the
        log has its place in the file only when it is brought home, and may need room for that.

        :raises SpoolFull: if there is none.
        """
        if self.file is None:
            return
        disk = os.statvfs(self.file)
        free = disk.f_bavail * disk.f_frsize
        if free > PLENTY + 2 * size:
            return
        pages, unused, page_size = (
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        owed = max(0, pages * page_size - self.file.stat().st_size)
        if free < owed + size + max(0, size - unused * page_size) + RESERVE:
            raise SpoolFull(f"{free} bytes are free on the disk of {self.name}")


def memory_spool_file() -> SpoolFile:
    """Return a new spool in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    FORMAT.create_tables(connection)
    return SpoolFile(":memory:", connection, [])


def open_spool_file(directory: Path) -> SpoolFile:
    """Open the spool in a folder, which is made if there is none.

    What is refused is left as it was, byte for byte. The check reads all of it: about 3 s a GB.

    :raises StoreError: if it is in use, damaged, of another version, or can't be written.
    """
    lock = FORMAT.lock(directory)
    try:
        file = directory.absolute() / FILE
        if file.exists():
            check(directory)
        else:
            FORMAT.create(directory)
        connection = FORMAT.connect(directory)
        try:
            connection.execute("BEGIN IMMEDIATE").execute("ROLLBACK")
            stored = stored_routes(connection)
        except sqlite3.Error:
            connection.close()
            raise
    except BaseException as error:
        os.close(lock)
        if isinstance(error, sqlite3.Error | OSError):
            raise FORMAT.refusal(directory, f"can't be opened: {error}", WRITABLE) from error
        raise
    return SpoolFile(str(directory), connection, stored, lock, file)


def check(directory: Path) -> None:
    """Look whether the spool in a folder is one, and sound; nobody may be at work on it.

    :raises StoreError: if it is not.
    """
    with FORMAT.reading(directory) as connection:
        FORMAT.check_format(directory, connection)
        FORMAT.check_soundness(directory, connection)
        (unfit,) = connection.execute(
            "SELECT count(*) FROM blocks WHERE length(lengths) != 4 * records"
        ).fetchone()
        if unfit:
            raise FORMAT.refusal(
                directory, f"is damaged: {unfit} blocks are not whole", "a sound one"
            )


@contextmanager
def looking_into(directory: Path) -> Iterator[sqlite3.Connection]:
    """Lend a connection that reads the spool in a folder, in which a bridge may be at work.

    Nothing is created or altered. Who reads for long at a time keeps the log from beginning anew.

    :raises StoreError: if there is none, or it can't be read, then or meanwhile.
    """
    file = directory.absolute() / FILE
    if not file.exists():
        raise FORMAT.refusal(directory, f"is not there: it has no {FILE}", "the folder of --spool")
    if file.with_name(f"{FILE}-shm").exists():
        how = "mode=ro"
    elif file.with_name(f"{FILE}-wal").exists():
        how = UNLOCKED
    else:
        how = "mode=ro&immutable=1"  # SQLite would make a log to find it empty
    with FORMAT.reading(directory, how) as connection:
        FORMAT.check_format(directory, connection)
        yield connection
