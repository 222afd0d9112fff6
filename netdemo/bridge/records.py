"""The records in what a client sends, one at a time, and none while there is no room for it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from netdemo.bridge.framing import Framing, Received, RecordRefused, Refused

PIECE: Final = 4096
"""Bytes that are taken apart at once: the records in so many may wait while it is paused."""


class Records:
    """Cuts what arrives into records, and gives each to ``received``.

    While it is paused, what arrives waits: that is what was read already, if its transport is
    paused too. What is no record that may be taken is told to ``refused``, once, and is the last.
    """

    __slots__ = (
        "_framing",
        "_over",
        "_received",
        "_refusal",
        "_refused",
        "_unread",
        "_waiting",
        "_working",
        "paused",
    )

    def __init__(
        self, framing: type[Framing], received: Received, refused: Refused, max_record: int
    ) -> None:
        self.paused = False
        self._received = received
        self._refused = refused
        self._framing = framing(self._taken, self._broken, max_record)
        self._unread = b""
        self._waiting: deque[bytes] | None = None
        self._refusal: RecordRefused | None = None
        self._over = False
        self._working = False

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if not self._over:
            self._unread = self._unread + data if self._unread else data
            self._work()

    @property
    def empty(self) -> bool:
        """Whether nothing waits that may hold a whole record."""
        return not (self._unread or self._waiting or self._refusal)

    def resume(self) -> None:
        """Go on with what waits."""
        self.paused = False
        self._work()

    def finish(self, clean: bool = True) -> bool:
        """Let what is left be the last record, if the end is ``clean`` and the framing allows it.

        Returns whether something is left that is not a whole record.
        """
        if self._over:
            return False
        if clean:
            self._framing.finish()
        self._over = True
        return bool(self._framing.rest())

    def _work(self) -> None:
        if self._working:
            return  # `received` has paused it and gone on: the loop below does, too
        self._working = True
        try:
            while not self.paused and self._take_some():
                pass
        finally:
            self._working = False

    def _take_some(self) -> bool:
        """Take a record that waits, or take a piece apart; tell whether there was any."""
        if self._waiting:
            self._received(self._waiting.popleft())
            return True
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            self._refused(refusal)
            return False
        if not self._unread:
            return False
        piece, self._unread = self._unread[:PIECE], self._unread[PIECE:]
        self._framing.dataReceived(piece)
        return True

    def _taken(self, record: bytes) -> None:
        if self._over:
            return  # a parser may go on after what was refused
        if not self.paused and not self._waiting:
            self._received(record)
        else:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(record)

    def _broken(self, refusal: RecordRefused) -> None:
        if self._over:
            return
        self._over = True
        self._unread = b""
        if self.paused or self._waiting:
            self._refusal = refusal
        else:
            self._refused(refusal)
