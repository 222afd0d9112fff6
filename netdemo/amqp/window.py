"""A bound on what is under way, in messages and in bytes, and the wait for room in it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.internet.defer import Deferred, succeed

from netdemo.waiters import Waiters

WINDOW_MESSAGES: Final = 1000
"""Messages under way at once, unless said otherwise."""

WINDOW_BYTES: Final = 8 * 1024 * 1024
"""Bytes of their bodies under way at once, unless said otherwise."""


class Window:
    """Counts messages and bytes under way. It is full when one of the limits is reached.

    `take` works on a full window too: who takes without waiting for room goes beyond the limit.
    Those who wait are let in when there is room for so many messages as ``room`` says: few turns
    for many messages cost less than many for one.
    """

    def __init__(
        self, messages: int = WINDOW_MESSAGES, size: int = WINDOW_BYTES, room: int = 1
    ) -> None:
        self.message_limit = messages
        self.size_limit = size
        self._let_in_at = max(messages - room, 0)
        self.messages = 0
        self.size = 0
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._letting_in = False
        self._emptied: Waiters[None] = Waiters()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a limit is reached."""
        return self.messages >= self.message_limit or self.size >= self.size_limit

    def take(self, size: int) -> None:
        """Count a message of ``size`` bytes in."""
        self.messages += 1
        self.size += size

    def give_back(self, size: int) -> None:
        """Count a message of ``size`` bytes out, and let those who wait have the room."""
        self.messages -= 1
        self.size -= size
        if self._waiting and self.messages <= self._let_in_at and not self._letting_in:
            self.let_in()
        if not self.messages:
            self._emptied.callback(None)

    def when_room(self) -> Deferred[None]:
        """Fire when there is room, first come first served: each may fill it for the next."""
        if not self.full and not self._waiting and not self._letting_in:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.pop)
        self._waiting[waiting] = None
        return waiting

    def when_empty(self) -> Deferred[None]:
        """Fire when nothing is under way."""
        if not self.messages:
            return succeed(None)
        return self._emptied.wait()

    def let_in(self) -> None:
        """Let those who wait have the room that there is."""
        self._letting_in = True
        try:
            while self._waiting and not self.full:
                waiting, _ = self._waiting.popitem(last=False)
                waiting.callback(None)
        finally:
            self._letting_in = False
