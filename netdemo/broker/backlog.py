"""What waits in a queue, in order; of a long one the middle is on disk alone."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from netdemo.broker.message import Message

RESIDENT: Final = 2048
"""Messages of a backlog that are in memory; those behind them that are on disk are there alone."""

RESIDENT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of bodies of a backlog that are in memory, likewise."""

PAGE: Final = 512
"""Messages that are read from disk at once, if they are small."""

PAGE_BYTES: Final = 1024 * 1024
"""Bytes of bodies that are read from disk at once, as nearly as their mean size tells."""


class Entry:
    """A message in one queue; `position` is its place in the order of that queue.

    `expires_at` is in seconds of the broker's clock. `stored` tells that it is, or soon will be,
    on disk. `returns` counts how often it was given back, where that is counted.
    """

    __slots__ = ("expires_at", "message", "position", "redelivered", "returns", "stored")

    def __init__(
        self,
        message: Message,
        position: int,
        expires_at: float | None = None,
        stored: bool = False,
        redelivered: bool = False,
    ) -> None:
        self.message = message
        self.position = position
        self.expires_at = expires_at
        self.stored = stored
        self.redelivered = redelivered
        self.returns = 0

    def __lt__(self, other: Entry) -> bool:
        return self.position < other.position


class Run:
    """Neighbours that are on disk alone: `count` of them, from position `first` to `last`."""

    __slots__ = ("count", "first", "last")

    def __init__(self, first: int, last: int, count: int) -> None:
        self.first = first
        self.last = last
        self.count = count


class Fetch(Protocol):
    """Reads entries back from the disk, the lowest positions first."""

    def __call__(self, first: int, last: int, limit: int) -> list[Entry]:
        """Return at most ``limit`` entries from position ``first`` to ``last``."""


class Backlog:
    """Entries by position. Those that were given back stand where they came from.

    `bytes` counts the bodies, in memory or not.
    """

    def __init__(self, fetch: Fetch) -> None:
        self.bytes = 0
        self.resident = 0
        self.fetch = fetch
        self._count = 0
        self._line: deque[Entry | Run] = deque()
        self._given_back: list[Entry] = []

    def __len__(self) -> int:
        return self._count

    def is_long(self, memory_is_short: bool) -> bool:
        """Whether an entry that is stored is to be kept on disk alone."""
        behind_run = bool(self._line) and isinstance(self._line[-1], Run)
        return (
            behind_run
            or memory_is_short
            or self.resident >= RESIDENT
            or self.bytes >= RESIDENT_BYTES
        )

    def append(self, entry: Entry) -> None:
        """Add an entry behind all others."""
        self._line.append(entry)
        self._count += 1
        self.resident += 1
        self.bytes += len(entry.message.body)

    def append_stored(self, position: int, size: int) -> None:
        """Add what is on disk, ``size`` bytes of body, behind all others."""
        last = self._line[-1] if self._line else None
        if isinstance(last, Run):
            last.last = position
            last.count += 1
        else:
            self._line.append(Run(position, position, 1))
        self._count += 1
        self.bytes += size

    def append_run(self, first: int, last: int, count: int, size: int) -> None:
        """Add ``count`` neighbours on disk, ``size`` bytes of bodies, behind all others."""
        self._line.append(Run(first, last, count))
        self._count += count
        self.bytes += size

    def give_back(self, entry: Entry) -> None:
        """Put an entry back where it was."""
        heappush(self._given_back, entry)
        self._count += 1
        self.resident += 1
        self.bytes += len(entry.message.body)

    def head(self) -> Entry | None:
        """Return the first entry, ``None`` when there is none."""
        line = self._line
        while line:
            first = line[0]
            if isinstance(first, Entry):
                if self._given_back and self._given_back[0] < first:
                    return self._given_back[0]
                return first
            if self._given_back and self._given_back[0].position < first.first:
                return self._given_back[0]
            self._read(first)
        return self._given_back[0] if self._given_back else None

    def pop(self) -> Entry:
        """Take the first entry."""
        entry = self.head()
        assert entry is not None, "an empty backlog"
        if self._given_back and self._given_back[0] is entry:
            heappop(self._given_back)
        else:
            self._line.popleft()
        self._count -= 1
        self.resident -= 1
        self.bytes -= len(entry.message.body)
        return entry

    def clear(self) -> list[Entry | Run]:
        """Drop everything; return it."""
        everything = [*self._line, *self._given_back]
        self._line.clear()
        self._given_back.clear()
        self._count = self.resident = self.bytes = 0
        return everything

    def _read(self, run: Run) -> None:
        """Bring the first of ``run``, which is the first in line, into memory."""
        mean = self.bytes // self._count or 1
        limit = max(1, min(PAGE, PAGE_BYTES // mean))
        entries = self.fetch(run.first, run.last, limit)
        if len(entries) >= run.count or len(entries) < limit:
            self._count -= run.count - len(entries)  # the disk knows best
            self._line.popleft()
        else:
            run.first = entries[-1].position + 1
            run.count -= len(entries)
        self._line.extendleft(reversed(entries))
        self.resident += len(entries)


class PriorityBacklog:
    """A backlog for each priority from 0 to ``highest``; all of it is in memory."""

    def __init__(self, highest: int, fetch: Fetch) -> None:
        self._highest = highest
        self._fetch = fetch
        self._lines: dict[int, Backlog] = {}
        """Those of the priorities that messages had, the highest first."""

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def bytes(self) -> int:
        """Bytes of bodies."""
        return sum(each.bytes for each in self._lines.values())

    def is_long(self, memory_is_short: bool) -> bool:  # noqa: ARG002
        """Whether an entry that is stored is to be kept on disk alone: it never is."""
        return False

    def append_run(self, first: int, last: int, count: int, size: int) -> None:
        """Read ``count`` neighbours from disk, each into the line of its priority."""
        line = Backlog(self._fetch)
        line.append_run(first, last, count, size)
        while line:
            self.append(line.pop())

    def append(self, entry: Entry) -> None:
        """Add an entry behind all others of its priority."""
        self._line_of(entry).append(entry)

    def give_back(self, entry: Entry) -> None:
        """Put an entry back where it was."""
        self._line_of(entry).give_back(entry)

    def head(self) -> Entry | None:
        """Return the first entry of the highest priority, ``None`` when there is none."""
        return next((line.head() for line in self._lines.values() if line), None)

    def pop(self) -> Entry:
        """Take the first entry of the highest priority."""
        return next(line for line in self._lines.values() if line).pop()

    def clear(self) -> list[Entry | Run]:
        """Drop everything; return it."""
        return [each for line in self._lines.values() for each in line.clear()]

    def _line_of(self, entry: Entry) -> Backlog:
        priority = min(entry.message.priority, self._highest)
        if priority not in self._lines:
            self._lines[priority] = Backlog(self._fetch)
            self._lines = dict(sorted(self._lines.items(), reverse=True))
        return self._lines[priority]
