"""A kind of SQLite database: alone in a folder, known by its numbers, made whole or not at all."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from netdemo.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE: Final = 5.0
"""Seconds that a connection waits for another before it fails."""

UNLOCKED: Final = "mode=ro&vfs=unix-none"
"""Without locks, and without write access, so that not even the log is brought home.

Nobody else may be at work on it.
"""

READABLE: Final = "one whose files can be read"

WRITABLE: Final = "a folder that can be written, and is used by nobody else"


@attrs.frozen
class SQLiteFormat:
    """What the databases of one kind have in common.

    `what` is their name in messages, and `file` that in their folder. ``application_id`` and
    ``user_version`` are in that file before any log (WAL) is, so they can be told without reading
    one. `tables` are the statements that make them, by their names. A commit that finds
    `checkpoint` bytes in the log tries to bring them home and begin it anew, which cuts its file to
    `log_kept` bytes; a connection keeps `cache` bytes of pages.
    """

    what: str
    file: str
    application_id: int
    version: int
    tables: dict[str, str]
    checkpoint: int
    log_kept: int
    cache: int

    def lock(self, directory: Path) -> int:
        """Return a descriptor of a folder, made if there is none; who has it has what is in it.

        It is no file in the folder, and not SQLite's lock, which knows no owners within a process.

        :raises StoreError: if another has it, or it can't be had at all.
        """
        try:
            _make_folder(directory)
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise
        except BlockingIOError as error:
            raise self.refusal(directory, "is in use already", WRITABLE) from error
        except OSError as error:
            what = f"can't have that folder: {error.strerror}"
            raise self.refusal(directory, what, WRITABLE) from error
        return lock

    def create(self, directory: Path) -> None:
        """Make a new database under another name: there is a whole one, or none.

        :raises StoreError: if it can't be made, or another's log or link is in its place.
        """
        file = directory / self.file
        if (directory / f"{self.file}-wal").exists():  # SQLite would take it for the new one's
            raise self.refusal(directory, f"has lost its {self.file}", f"it beside {self.file}-wal")
        if file.is_symlink():  # of a disk that is not mounted, for example
            raise self.refusal(directory, f"has lost its {self.file}", f"it at {os.readlink(file)}")
        new = directory / f"{self.file}.new"
        try:
            for leftover in directory.glob(f"{self.file}.new*"):
                leftover.unlink()
            connection = sqlite3.connect(new, isolation_level=None)
            try:
                self.create_tables(connection)
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
            new.rename(file)
            _sync_folder(directory)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            what = f"can't be made: {error.strerror}"
            raise self.refusal(directory, what, WRITABLE) from error

    def create_tables(self, connection: sqlite3.Connection) -> None:
        """Make an empty database one of this format."""
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA application_id = {self.application_id}")
        connection.execute(f"PRAGMA user_version = {self.version}")
        for table in self.tables.values():
            connection.execute(table)
        connection.execute("COMMIT")

    def connect(
        self, directory: Path, how: str = "mode=rw", patience: float = PATIENCE
    ) -> sqlite3.Connection:
        """Open the database for writing, as ``how``, a query of SQLite's, says.

        If it is locked by others now, it waits so many seconds.

        :raises sqlite3.Error: if that can't be done.
        """
        connection = sqlite3.connect(
            f"{(directory.absolute() / self.file).as_uri()}?{how}",
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = OFF")
            connection.execute(f"PRAGMA cache_size = -{self.cache // 1024}")
            connection.execute(f"PRAGMA journal_size_limit = {self.log_kept}")
            (page_size,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA wal_autocheckpoint = {self.checkpoint // page_size}")
            connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextmanager
    def reading(self, directory: Path, how: str = UNLOCKED) -> Iterator[sqlite3.Connection]:
        """Lend a connection that reads the database as ``how``, a query of SQLite's, says.

        :raises StoreError: if that can't be done, then or meanwhile.
        """
        file = directory.absolute() / self.file
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                f"{file.as_uri()}?{how}",
                timeout=PATIENCE,
                isolation_level=None,
                check_same_thread=False,
                uri=True,
            )
            if how == UNLOCKED:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            yield connection
        except sqlite3.OperationalError as error:  # nothing in it, but how it can be had
            raise self.refusal(directory, f"can't be read: {error}", READABLE) from error
        except (sqlite3.Error, ValueError, TypeError, ArithmeticError) as error:
            raise self.refusal(directory, f"is damaged: {error}", "a sound one") from error
        finally:
            if connection is not None:
                connection.close()

    def check_format(self, directory: Path, connection: sqlite3.Connection) -> None:
        """Look whether a database is one of this format.

        :raises StoreError: if it is not.
        """
        expected = f"one of version {self.version}"
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != self.application_id:
            raise self.refusal(directory, f"is none: {self.file} is another program's", expected)
        if version != self.version:
            raise self.refusal(directory, f"is of version {version}", expected)
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))
        if tables != self.tables:
            raise self.refusal(directory, f"has the tables {', '.join(sorted(tables))}", expected)

    def check_soundness(self, directory: Path, connection: sqlite3.Connection) -> None:
        """Read the whole database: about 3 s a GB.

        :raises StoreError: if it is damaged.
        """
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self.refusal(directory, f"is damaged: {verdict}", "a sound one")

    def refusal(self, directory: Path, what: str, expected: str) -> StoreError:
        """Return an error about the database in a folder, on one line."""
        said = " ".join(what.split())
        return StoreError(f"{directory}: the {self.what} {said}; expected {expected}")


def _make_folder(directory: Path) -> None:
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _sync_folder(directory: Path) -> None:
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
