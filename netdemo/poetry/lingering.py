"""Peers that are given time: to shake hands, and to close first when they have the poem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

LINGER: Final = 5.0
"""Seconds of silence that a peer has at least; it has twice as many at most."""


class Lingering:
    """Connections that wait for their peers, each told with `timeoutConnection` when it is time.

    One timer is for all of them, since nearly all peers are quick: what has been here for a whole
    turn of it is timed out.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._new: set[Any] = set()
        self._old: set[Any] = set()
        self._turn: IDelayedCall | None = None

    def add(self, protocol: Any) -> None:
        """Give ``protocol`` its time, from now on, also if it is here already."""
        self._old.discard(protocol)
        self._new.add(protocol)
        if self._turn is None:
            self._turn = self._clock.callLater(LINGER, self._end_turn)

    def discard(self, protocol: Any) -> None:
        """Forget ``protocol``, if it is here: its peer was in time."""
        self._old.discard(protocol)
        self._new.discard(protocol)
        if self._turn is not None and not (self._old or self._new):
            self._turn.cancel()
            self._turn = None

    def _end_turn(self) -> None:
        late, self._old, self._new = self._old, self._new, set()
        self._turn = self._clock.callLater(LINGER, self._end_turn) if self._old else None
        for protocol in late:
            protocol.timeoutConnection()
