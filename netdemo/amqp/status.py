"""What state a client or a consumer is in, and telling those who want to know."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.errors import AMQPError


@attrs.frozen
class Status:
    """A state, and why it is not the one that was wished for, in the broker's words if it said any.

    `broker` is the broker that it is about, without user and password; empty where there is none.
    """

    state: str
    reason: AMQPError | None = None
    broker: str = ""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.state, self.broker, str(self.reason or ""))))


class Observable:
    """Has a `Status`, and listeners that are called with each new one, in order."""

    _log = Logger()

    def __init__(self, status: Status) -> None:
        self._status = status
        self._listeners: list[Callable[[Status], object]] = []
        self._news: deque[Status] = deque()
        self._telling = False

    @property
    def status(self) -> Status:
        """What state it is in."""
        return self._status

    def add_status_listener(self, listener: Callable[[Status], object]) -> None:
        """Call ``listener`` with every new status; what it raises is logged."""
        self._listeners.append(listener)

    def remove_status_listener(self, listener: Callable[[Status], object]) -> None:
        """Call ``listener`` no more.

        :raises ValueError: when it is no listener.
        """
        self._listeners.remove(listener)

    def _change_status(self, status: Status) -> None:
        if status == self._status:
            return
        self._status = status
        self._news.append(status)
        if self._telling:
            return  # a listener has changed it: the loop below goes on
        self._telling = True
        while self._news:
            news = self._news.popleft()
            for listener in list(self._listeners):
                if listener in self._listeners:  # else another has removed it
                    self._tell(listener, news)
        self._telling = False

    def _tell(self, listener: Callable[[Status], object], news: Status) -> None:
        try:
            listener(news)
        except Exception:
            self._log.failure(
                "{observable}: a listener failed on {news}", observable=self, news=news
            )
