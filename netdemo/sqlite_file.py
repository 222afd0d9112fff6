"""What those who keep things in a SQLite database share: the thread and the statements."""

from __future__ import annotations

from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred

GROUPS: Final = (256, 64, 16, 4, 1)
"""Rows that go into one statement.

The lock of the interpreter is given up for each statement, and it may take a busy reactor 5 ms to
give it back: with ``executemany``, for each row.
"""

T = TypeVar("T")


class RunInThread(Protocol):
    """Calls something in a thread, or at once."""

    def __call__(self, call: Callable[[], T], /) -> Deferred[T]:
        """Return a Deferred of what ``call`` returns; it fails with what that raises."""


def start_thread(reactor: Any, name: str) -> tuple[RunInThread, Callable[[], None]]:
    """Return what runs calls in a thread, one after another, and what ends that.

    A process that forks starts it afterwards. It is ended when the reactor has stopped, too.
    """
    pool = ThreadPool(0, 1, name)
    # A start that fails shall end the process.
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    pool.start()
    unclosed = reactor.addSystemEventTrigger("after", "shutdown", pool.stop)

    def stop() -> None:
        reactor.removeSystemEventTrigger(unclosed)
        pool.stop()

    return partial(deferToThreadPool, reactor, pool), stop


def transaction(connection: sqlite3.Connection, write: Callable[[sqlite3.Connection], T]) -> T:
    """Return what ``write`` returns, when that is committed; or it is all undone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = write(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has ended it already for some errors
            connection.execute("ROLLBACK")
        raise
    return result


def execute_in_groups(
    connection: sqlite3.Connection, statements: dict[int, str], values: Sequence[Any], columns: int
) -> None:
    """Execute for all rows of ``values`` those of ``statements``, by numbers of rows, that fit."""
    start = 0
    for rows, statement in statements.items():
        width = rows * columns
        while len(values) - start >= width:
            connection.execute(statement, values[start : start + width])
            start += width
