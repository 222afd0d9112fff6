"""Those who wait for one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Waiters(Generic[T]):
    """Deferreds that one event fires, in the order in which they were asked for.

    Each may be cancelled at any time, also by another one's callback while they are being fired.
    """

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] = {}

    def wait(self) -> Deferred[T]:
        """Return a Deferred that fires with the event."""
        waiting: Deferred[T] = Deferred(self._cancelled)
        self._waiting[waiting] = None
        return waiting

    def callback(self, result: T) -> None:
        """Fire all who wait with ``result``."""
        for waiting in self._taken():
            waiting.callback(result)

    def errback(self, reason: BaseException) -> None:
        """Fail all who wait with ``reason``."""
        for waiting in self._taken():
            waiting.errback(reason)

    def _taken(self) -> Iterator[Deferred[T]]:
        taken, self._waiting = self._waiting, {}
        return (waiting for waiting in taken if not waiting.called)

    def _cancelled(self, cancelled: Deferred[T]) -> None:
        self._waiting.pop(cancelled, None)
