"""The spool: what is written to it, read back and deleted, in one thread, one batch at a time."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.bridge.routes import SPOOL_LIMIT
from netdemo.bridge.spool_blocks import COLUMNS, Block, Writing
from netdemo.bridge.spool_file import open_spool_file, read_blocks, route_row
from netdemo.errors import SpoolError, SpoolFull
from netdemo.sqlite_file import execute_in_groups, start_thread, transaction
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from netdemo.bridge.spool_file import SpoolFile, StoredRoute
    from netdemo.sqlite_file import RunInThread

RETRY: Final = 1.0
"""Seconds from a transaction that failed until it is tried again."""

DELETE_DELAY: Final = 0.2
"""Seconds that what is to be deleted waits for something to be written."""

MANY_DELETED: Final = 64
"""Blocks to delete that wait no longer."""

MOST_DELETED: Final = 10_000
"""Blocks to delete that wait while the disk fails; until they are gone nothing more is read."""

FULL_ERRORS: Final = frozenset(
    f"SQLITE_{name}" for name in ("FULL", "IOERR_WRITE", "IOERR_SHMSIZE", "IOERR_FSYNC")
)
"""What SQLite says of a full disk: the second of a used up quota, or a limit to a file's size."""

_INSERTS: Final = {
    rows: "INSERT OR REPLACE INTO blocks VALUES "
    + ", ".join([f"({', '.join('?' * len(COLUMNS))})"] * rows)
    for rows in (16, 4, 1)
}
_DELETES: Final = {
    rows: f"DELETE FROM blocks WHERE id IN ({', '.join('?' * rows)})"
    for rows in (256, 64, 16, 4, 1)
}


def open_spool(directory: Path, reactor: Any, limit: int = SPOOL_LIMIT) -> Spool:
    """Open the spool in a folder; made, with mode 0700, if there is none.

    It holds a lock and has a thread, so a process that forks opens it afterwards.

    :raises StoreError: if it can't be used; it is left as it was.
    """
    file = open_spool_file(directory)
    run_in_thread, stop = start_thread(reactor, "netdemo-spool")
    return Spool(file, run_in_thread, reactor, limit, stop)


@attrs.define
class _Batch:
    """What is written in one transaction: new routes, what is to be deleted, and new blocks."""

    routes: list[StoredRoute] = attrs.field(factory=list)
    deleted: dict[int, int] = attrs.field(factory=dict)
    """The ids of blocks, and their sizes: no more of them is kept while the disk fails."""
    writings: list[Writing] = attrs.field(factory=list)


class Spool:
    """Holds blocks of records on disk.

    `size` counts the bytes of all that is in it or is being written, and `full` tells that it has
    reached the limit; who adds heeds it, for nothing here is refused for that. `failing` tells why
    the last transaction failed, until one works. `on_room` is called when `full` has ended.
    """

    _log = Logger()

    def __init__(
        self,
        file: SpoolFile,
        run_in_thread: RunInThread,
        clock: IReactorTime,
        limit: int = SPOOL_LIMIT,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = file.name
        self.stored = file.stored
        self.limit = limit
        self.size = sum(route.size for route in file.stored)
        self.failing: str | None = None
        self.on_room: Callable[[], None] = lambda: None
        self._file = file
        self._run_in_thread = run_in_thread
        self._clock = clock
        self._ended = ended
        self._batch = _Batch()
        self._working = False
        self._due: IDelayedCall | None = None
        self._pause: Deferred[None] | None = None
        # While the disk fails: it may have room for some, and never for all that there is.
        self._at_once = 1
        self._closing = False
        self._closed = False
        self._partly: list[Block] = []
        self._end: Waiters[None] = Waiters()

    @property
    def full(self) -> bool:
        """Whether it has reached its limit."""
        return self.size >= self.limit

    def add_route(self, route: StoredRoute) -> None:
        """Add a route that is not there; its blocks come after."""
        self._batch.routes.append(route)

    def add(self, writing: Writing) -> None:
        """Write a block, which may grow until it is sealed; the blocks of a route in their order.

        What it grows by is counted by `grow`.
        """
        self.size += writing.block.size
        self._batch.writings.append(writing)
        self._write_in(0)

    def grow(self, size: int) -> None:
        """Count what a block that is not sealed has grown by."""
        self.size += size

    def delete(self, block: Block) -> None:
        """Delete a block, soon."""
        self._batch.deleted[block.id] = block.size
        self._write_in(0 if self._urgent else DELETE_DELAY)

    def read(self, after: int, last: int, records: int, size: int) -> Deferred[list[Block]]:
        """Read blocks that are on disk; see `read_blocks`.

        Fails with `SpoolError` while too many that were read can't be deleted.
        """
        undeleted = len(self._batch.deleted)
        if self.failing is not None and undeleted >= MOST_DELETED:
            return fail(SpoolError(f"{undeleted} blocks can't be deleted: {self.failing}"))
        return self._run_in_thread(
            partial(read_blocks, self._file.connection, after, last, records, size)
        )

    def close(self, partly: Iterable[Block] = ()) -> Deferred[None]:
        """Write what is left, and close; what can't be written now is refused.

        Of the blocks ``partly`` some records are settled: that is noted. It fires with ``None``
        when nothing of the spool is left in this process.
        """
        if self._closed:
            return succeed(None)
        self._closing = True
        self._partly = list(partly)
        ended = self._end.wait()
        if self._pause is not None:
            self._pause.cancel()
        elif not self._working:
            self._start()
        return ended

    @property
    def _urgent(self) -> bool:
        batch = self._batch
        return bool(
            batch.writings
            or len(batch.deleted) >= MANY_DELETED
            or (batch.deleted and (self.full or self._closing))
        )

    def _write_in(self, delay: float) -> None:
        if self._working or self._closing:
            return
        if self._due is None:
            self._due = self._clock.callLater(delay, self._start)
        elif not delay and self._due.getTime() > self._clock.seconds():
            self._due.reset(0)

    def _start(self) -> None:
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = None
        self._working = True
        Deferred.fromCoroutine(self._work()).addErrback(
            lambda reason: self._log.failure("Writing to the spool ended", reason)
        )

    async def _work(self) -> None:
        again = True
        while again:
            if await self._write():
                again = self._urgent
            elif self._closing:  # whom the refusal of others lets in is refused, too
                again = bool(self._batch.writings)
            else:
                self._pause = deferLater(self._clock, RETRY)
                with contextlib.suppress(CancelledError):
                    await self._pause
                self._pause = None
        if self._closing:
            await self._finish()
        self._working = False
        if self._batch.deleted and not self._closing:
            self._write_in(DELETE_DELAY)

    async def _write(self) -> bool:
        """Write all that there is, or keep of it what must be tried again; tell which."""
        batch, self._batch = self._batch, _Batch()
        if not (batch.writings or batch.deleted):
            self._batch.routes = batch.routes
            return True
        if self.failing is not None:
            some = self._at_once
            batch.writings, self._batch.writings = batch.writings[:some], batch.writings[some:]
        all_of_it = not self._batch.writings
        for writing in batch.writings:
            writing.sealed = True
        try:
            if self.failing is not None:
                await self._run_in_thread(partial(make_room, self._file, list(batch.deleted)))
                self._deleted(batch)
            await self._run_in_thread(partial(write_batch, self._file, batch))
        except Exception as error:
            self._failed(batch, error)
            return False
        if self.failing is not None:
            self._at_once *= 2
            if all_of_it:
                self._log.info("{name}: can be written again", name=self.name)
                self.failing = None
        self._deleted(batch)
        for writing in batch.writings:
            self._tell(partial(writing.written, writing))
        return True

    def _deleted(self, batch: _Batch) -> None:
        size = sum(batch.deleted.values())
        batch.deleted = {}
        self._shrink(size)

    def _shrink(self, size: int) -> None:
        """Count ``size`` bytes out.

        It comes before a route is told of what it has written: else that takes the room each time,
        before it is the turn of the others.
        """
        was_full = self.full
        self.size -= size
        if was_full and not self.full:
            self.on_room()

    def _failed(self, batch: _Batch, error: Exception) -> None:
        self._at_once = 1
        if self.failing is None:
            self._log.error(
                "{name}: can't be written: {error}; tried again every {seconds} s",
                name=self.name,
                error=error,
                seconds=RETRY,
            )
        self.failing = str(error)
        reason = _reason(error)
        waiting = [*batch.writings, *self._batch.writings]
        refused = [each for each in waiting if each.may_refuse or self._closing]
        batch.routes += self._batch.routes
        batch.deleted |= self._batch.deleted
        batch.writings = [each for each in waiting if not (each.may_refuse or self._closing)]
        self._batch = batch
        for writing in refused:
            writing.sealed = True
        self._shrink(sum(writing.block.size for writing in refused))
        for writing in refused:
            self._tell(partial(writing.refused, writing, reason))

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            self._log.failure("What was to be done with a written block failed")

    async def _finish(self) -> None:
        try:
            if self._partly and self.failing is None:
                await self._run_in_thread(partial(_note, self._file, self._partly))
        except Exception as error:
            self._log.error("{name}: can't be written: {error}", name=self.name, error=error)
        try:
            await self._run_in_thread(self._file.close)
        except Exception:
            self._log.failure("{name}: can't be closed", name=self.name)
        self._ended()
        self._closed = True
        self._end.callback(None)


def _reason(error: Exception) -> SpoolError:
    if isinstance(error, SpoolError):
        return error
    full = getattr(error, "sqlite_errorname", None) in FULL_ERRORS
    return (SpoolFull if full else SpoolError)(str(error))


def make_room(file: SpoolFile, deleted: Sequence[int]) -> None:
    """Delete blocks before anything is written: that makes room, and so does an empty log."""
    transaction(file.connection, lambda connection: _delete(connection, deleted))
    file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def write_batch(file: SpoolFile, batch: _Batch) -> None:
    """Write a batch."""

    def write(connection: sqlite3.Connection) -> None:
        _delete(connection, list(batch.deleted))
        for route in batch.routes:
            connection.execute("INSERT OR REPLACE INTO routes VALUES (?, ?, ?)", route_row(route))
        rows: list[Any] = []
        for writing in batch.writings:
            rows += writing.block.row()
        execute_in_groups(connection, _INSERTS, rows, len(COLUMNS))

    if batch.writings:
        file.check_room(sum(writing.block.size for writing in batch.writings))
    transaction(file.connection, write)


def _delete(connection: sqlite3.Connection, blocks: Sequence[int]) -> None:
    execute_in_groups(connection, _DELETES, blocks, 1)


def _note(file: SpoolFile, blocks: Sequence[Block]) -> None:
    """Note which records of ``blocks`` are settled."""
    transaction(
        file.connection,
        lambda connection: [
            connection.execute(
                "UPDATE blocks SET settled = ? WHERE id = ?", (bytes(block.settled), block.id)
            )
            for block in blocks
        ],
    )
