"""How much memory messages take, and the alarm when it is too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.broker.message import Message

MAX_MEMORY: Final = 512 * 1024 * 1024
"""Bytes of messages in memory above which publishers are blocked."""

_SHORT: Final = 0.5
"""Part of the limit above which what is on disk is kept there alone."""

_LOW_WATER: Final = 0.9
"""Part of the limit below which they may go on: between the two nothing changes."""


class Memory:
    """Counts messages that are in memory, each once.

    `on_alarm` is called with ``True`` when they take more than `limit` bytes, with ``False`` when
    they take clearly less again.
    """

    def __init__(self, limit: int = MAX_MEMORY) -> None:
        self.used = 0
        self.limit = limit
        self.alarm = False
        self.on_alarm: Callable[[bool], None] = lambda _: None

    @property
    def is_short(self) -> bool:
        """Whether to keep out of memory what need not be there."""
        return self.used > self.limit * _SHORT

    def hold(self, message: Message) -> None:
        """Count one more place that keeps ``message``."""
        message.holds += 1
        if message.holds == 1:
            self.used += message.size
            if self.used > self.limit and not self.alarm:
                self.alarm = True
                self.on_alarm(True)

    def release(self, message: Message) -> None:
        """Count one less."""
        message.holds -= 1
        if message.holds == 0:
            self.used -= message.size
            if self.alarm and self.used < self.limit * _LOW_WATER:
                self.alarm = False
                self.on_alarm(False)
