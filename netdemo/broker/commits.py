"""Batches written to a store one after another, in a thread, until each is on disk."""

from __future__ import annotations

import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.broker.batch import Batch, sweep
from netdemo.sqlite_file import transaction
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from netdemo.broker.database import Database
    from netdemo.sqlite_file import RunInThread

RETRY: Final = 1.0
"""Seconds from a transaction that failed until it is tried again."""

T = TypeVar("T")


class GaveUp(Exception):
    """What failed is not tried again, because the store is being closed."""


class Commits:
    """What changed, in batches: those that are sealed, and one in the making.

    `failing` tells why the last transaction failed, until one works: what it was to write is kept
    and tried again. `waiting_bytes` counts the messages that were put and are not on disk yet;
    who puts must heed it, for nothing here is refused. `on_progress` is called when either may have
    become less.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        run_in_thread: RunInThread,
        clock: IReactorTime,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.failing: str | None = None
        self.waiting_bytes = 0
        self.on_progress: Callable[[], None] = lambda: None
        self._database = database
        self._run_in_thread = run_in_thread
        self._clock = clock
        self._ended = ended
        self._batch = Batch()
        self._batches = deque([self._batch])
        self._emptied = deque(database.stored.emptied)
        self._working = False
        self._pause: Deferred[None] | None = None
        self._closing = False
        self._closed = False
        self._end: Waiters[None] = Waiters()

    def commit(self) -> None:
        """Have what changed written; if something is being written now, then after it."""
        if not (self._working or self._closing) and (self._outstanding or self._emptied):
            self._start()

    def on_disk(self, call: Callable[[], None]) -> None:
        """Call ``call`` when all that was changed before is on disk; at once if it is."""
        if self._batch.changed or self._batch.calls:
            self._batch.calls.append(call)
        elif len(self._batches) > 1:
            self._batches[-2].calls.append(call)
        else:
            call()

    def close(self) -> Deferred[None]:
        """Write what is left, and close the store; what can't be written now is given up.

        It fires with ``None`` when nothing of the store is left in this process.
        """
        if self._closed:
            return succeed(None)
        self._closing = True
        ended = self._end.wait()
        if self._pause is not None:
            self._pause.cancel()
        elif not self._working:
            self._start()
        return ended

    @property
    def _outstanding(self) -> bool:
        batch = self._batch
        return bool(
            len(self._batches) > 1
            or batch.changed
            or batch.calls
            or (self._closing and batch.delivered)
        )

    def _seal(self) -> None:
        """Begin a new batch.

        No later change takes anything out of one that is sealed. It may be half of another, as
        when a message moves from one queue to the next, and the other half is on disk later.
        """
        self._batch = Batch()
        self._batches.append(self._batch)

    def _start(self) -> None:
        self._working = True
        Deferred.fromCoroutine(self._work()).addErrback(
            lambda reason: self._log.failure("Writing to the store ended", reason)
        )

    async def _work(self) -> None:
        """Write until nothing is left; a piece of what is emptied comes after each batch."""
        try:
            while self._outstanding or (self._emptied and not self._closing):
                if self._outstanding:
                    await self._write_first()
                if self._emptied and not self._closing:
                    await self._sweep()
                self.on_progress()
        except GaveUp:
            self._log.error(
                "{name}: closed without {size} bytes of messages that were not on disk",
                name=self._database.name,
                size=self.waiting_bytes,
            )
        if self._closing:
            await self._finish()
        self._working = False

    async def _write_first(self) -> None:
        batch = self._batches[0]
        if batch is self._batch and not (batch.changed or self._closing):
            # All that was put is removed again. What was delivered waits for the next one.
            calls, batch.calls = batch.calls, []
        else:
            if batch is self._batch:
                self._seal()
            await self._persist(batch.write)
            self._batches.popleft()
            self.waiting_bytes -= batch.size
            self._emptied += batch.emptied
            calls = batch.calls
        for call in calls:
            try:
                call()
            except Exception:
                self._log.failure("What was to be done when messages were on disk failed")

    async def _sweep(self) -> None:
        first, last = self._emptied[0]
        if await self._persist(partial(sweep, first=first, last=last)):
            self._emptied.popleft()

    async def _persist(self, write: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``write`` returns when its transaction worked; it is tried until it does.

        :raises GaveUp: if it does not when the store is being closed.
        """
        while True:
            try:
                result = await self._run_in_thread(
                    partial(transaction, self._database.writer, write)
                )
            except Exception as error:
                self._note_failure(error)
                if self._closing:
                    raise GaveUp from error
            else:
                self._note_success()
                return result
            self._pause = deferLater(self._clock, RETRY)
            with contextlib.suppress(CancelledError):
                await self._pause
            self._pause = None

    def _note_failure(self, error: Exception) -> None:
        if self.failing is None:
            self._log.error(
                "{name}: can't be written: {error}; tried again every {seconds} s",
                name=self._database.name,
                error=error,
                seconds=RETRY,
            )
        self.failing = str(error)

    def _note_success(self) -> None:
        if self.failing is not None:
            self._log.info("{name}: can be written again", name=self._database.name)
            self.failing = None

    async def _finish(self) -> None:
        try:
            await self._run_in_thread(self._database.close)
        except Exception:
            self._log.failure("{name}: can't be closed", name=self._database.name)
        self._ended()
        self._closed = True
        self._end.callback(None)
