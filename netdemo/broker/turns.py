"""What is left to do at the end of a turn: when all that has arrived is dealt with.

What one read, or one timer, leads to goes out together: deliveries, confirms, and one write for
each connection and for the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from netdemo.broker.store import Store


class Dispatches(Protocol):
    """A queue."""

    def dispatch(self) -> None:
        """Deliver what is ready."""


class Flushes(Protocol):
    """A channel with confirms, or a connection with bytes, to be sent."""

    def flush(self) -> None:
        """Send them."""


class Turns:
    """Runs whatever happens to the broker, and then what that has left to do."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: Store | None) -> None:
        self._clock = clock
        self._store = store
        self._running = False
        self._queues: dict[Dispatches, None] = {}
        self._channels: dict[Flushes, None] = {}
        self._connections: dict[Flushes, None] = {}

    def seconds(self) -> float:
        """Return the time in seconds."""
        return self._clock.seconds()

    def call_later(self, delay: float, call: Callable[..., Any], *arguments: Any) -> IDelayedCall:
        """Call in a turn of its own, after ``delay`` seconds."""
        return self._clock.callLater(delay, self.run, call, *arguments)

    def stir(self, queue: Dispatches) -> None:
        """Let a queue deliver at the end of the turn."""
        self._queues[queue] = None

    def flush_later(self, channel: Flushes) -> None:
        """Let a channel send its confirms at the end of the turn."""
        self._channels[channel] = None

    def write_later(self, connection: Flushes) -> None:
        """Let a connection write at the end of the turn."""
        self._connections[connection] = None

    def run(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call, and end the turn; within another turn that one's end is the end."""
        if self._running:
            call(*arguments)
            return
        self._running = True
        try:
            call(*arguments)
        finally:
            try:
                self._end()
            finally:
                self._running = False

    def _end(self) -> None:
        while True:
            while self._queues:
                queues, self._queues = self._queues, {}
                for queue in queues:
                    self._guard(queue.dispatch)
            channels, self._channels = self._channels, {}
            for channel in channels:
                self._guard(channel.flush)
            if self._store is not None:
                self._store.commit()
            connections, self._connections = self._connections, {}
            for connection in connections:
                self._guard(connection.flush)
            if not (self._queues or self._channels or self._connections):
                return

    def _guard(self, call: Callable[[], None]) -> None:
        """Let a mistake of ours cost what it concerns, and nothing else."""
        try:
            call()
        except Exception:
            self._log.failure("the broker made a mistake")
