"""Pausing whoever produces too much."""

from __future__ import annotations

from typing import Any


class PausingConsumer:
    """The part of a consumer that is the same for all with one push producer, to inherit from."""

    _producer: Any = None
    _producer_paused = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take ``producer``, a push producer, to be paused when much waits."""
        if self._producer is not None or not streaming:
            raise RuntimeError(f"cannot register {producer}: expected one, which pushes")
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Forget the producer: it has written all it had."""
        self._producer = None
        self._producer_paused = False

    def _pause_producer(self) -> None:
        if self._producer is not None:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _resume_producer(self) -> None:
        if self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()

    def _stop_producer(self) -> None:
        if self._producer is not None:
            self._producer.stopProducing()
