"""The database of a store, opened for us alone, or refused and left as it was."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING, Final

import attrs

from netdemo.broker.schema import APPLICATION_ID, TABLES, VERSION, Stored, create_tables, read
from netdemo.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "store.sqlite"

CHECKPOINT: Final = 16 * 1024 * 1024
"""Bytes in the log from which each commit tries to bring them home and begin it anew."""

LOG_KEPT: Final = 64 * 1024 * 1024
"""Bytes to which the log's file is cut when it begins anew after having been larger."""

CACHE: Final = 16 * 1024 * 1024
"""Bytes of pages that each of the two connections keeps."""

PATIENCE: Final = 5.0
"""Seconds that one of our connections waits for the other before it fails."""

WRITABLE: Final = "a folder that can be written, and is used by nobody else"


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
    create_tables(connection)
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
            create_tables(connection)
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
        return read(connection)
    except sqlite3.Error as error:
        raise _refusal(directory, f"is damaged: {error}", "a sound one") from error
    finally:
        connection.close()
