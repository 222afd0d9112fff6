"""The database of a store, opened for us alone, or refused and left as it was."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

import attrs

from netdemo.broker.schema import TABLES, Stored, read
from netdemo.sqlite_format import WRITABLE, SQLiteFormat

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "store.sqlite"

FORMAT: Final = SQLiteFormat(
    what="store",
    file=FILE,
    application_id=0x4E444D51,
    version=1,
    tables=TABLES,
    checkpoint=16 * 1024 * 1024,
    log_kept=64 * 1024 * 1024,
    cache=16 * 1024 * 1024,
)


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


def memory_database() -> Database:
    """Return a new store in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    FORMAT.create_tables(connection)
    return Database(":memory:", connection, connection, Stored())


def open_database(directory: Path) -> Database:
    """Open the store in a folder, which is made if there is none.

    What is refused is left as it was, byte for byte. The check reads all of it: about 3 s a GB.

    :raises StoreError: if it is in use, damaged, of another version, or can't be written.
    """
    lock = FORMAT.lock(directory)
    try:
        if (directory / FILE).exists():
            stored = _check(directory)
        else:
            FORMAT.create(directory)
            stored = Stored()
        writer = _connect(directory)
        try:
            writer.execute("BEGIN IMMEDIATE").execute("ROLLBACK")
            reader = _connect(directory)
        except sqlite3.Error:
            writer.close()
            raise
    except BaseException as error:
        os.close(lock)
        if isinstance(error, sqlite3.Error):
            what = f"can't be opened: {error}"
            raise FORMAT.refusal(directory, what, WRITABLE) from error
        raise
    return Database(str(directory), writer, reader, stored, lock)


def _connect(directory: Path) -> sqlite3.Connection:
    """Open the database for us alone, with the log's index in memory ("unix-excl").

    No reader of another process can keep the log from beginning anew, so it does not grow.
    """
    return FORMAT.connect(directory, "mode=rw&vfs=unix-excl", patience=0)


def _check(directory: Path) -> Stored:
    """Return what is in the store, if it is a sound one."""
    with FORMAT.reading(directory) as connection:
        FORMAT.check_format(directory, connection)
        FORMAT.check_soundness(directory, connection)
        return read(connection)
