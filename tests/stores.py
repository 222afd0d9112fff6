"""Stores for tests: in memory or in a folder, with a thread that works when it is told to."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock

from netdemo.broker.database import memory_database, open_database
from netdemo.broker.message import Message
from netdemo.broker.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class Thread:
    """A thread for a store; what it is given waits for `work`."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()

    def __call__(self, call: Callable[[], T], /) -> Deferred[T]:
        """Take something to do."""
        done: Deferred[T] = Deferred()
        self._waiting.append((call, done))
        return done

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting

    def work(self) -> None:
        """Do the next thing, and tell what became of it."""
        call, done = self._waiting.popleft()
        execute(call).chainDeferred(done)


def message(body: bytes = b"", **values: Any) -> Message:
    """Return a persistent message."""
    return Message(
        **{"exchange": "", "routing_key": "q", "persistent": True, **values},
        header=b"header",
        body=body,
    )


def threaded_store(clock: Clock | None = None) -> tuple[Store, Thread]:
    """Return a store in memory with a thread that works when it is told to."""
    thread = Thread()
    return Store(memory_database(), thread, clock or Clock()), thread


def folder_store(folder: Path, clock: Clock | None = None) -> Store:
    """Open the store in a folder; all is written when `commit` returns."""
    return Store(open_database(folder), execute, clock or Clock())


def bodies(store: Store, queue_id: int, first: int = 0, last: int = 1000) -> dict[int, bytes]:
    """Return what is in a queue, by position."""
    return {position: each.body for position, each, _ in store.fetch(queue_id, first, last, 1000)}
