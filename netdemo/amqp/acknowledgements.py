"""Which deliveries are still to be answered, and the shortest way to say which are done."""

from __future__ import annotations

from collections import OrderedDict
from itertools import takewhile


class Acknowledgements:
    """The deliveries of one channel, by their tags, which come in increasing order.

    It keeps those that the broker waits for: at most the prefetch.
    """

    def __init__(self) -> None:
        # A plain dict goes past all that was taken from its front, each time anew.
        self._unanswered: OrderedDict[int, None] = OrderedDict()
        self._done: set[int] = set()

    def delivered(self, tag: int) -> None:
        """Note that the broker waits for an answer to ``tag``."""
        self._unanswered[tag] = None

    def answered(self, tag: int) -> None:
        """Note that the broker waits no more: ``tag`` was refused."""
        self._unanswered.pop(tag, None)
        self._done.discard(tag)

    def done(self, tag: int) -> None:
        """Note that ``tag`` is to be acknowledged."""
        if tag in self._unanswered:
            self._done.add(tag)

    def take(self) -> list[tuple[int, bool]]:
        """Return tag and multiple of each ack that is to be sent, and forget what they cover.

        One with multiple is for all up to its tag (AMQP 0-9-1, class basic, method ack): those
        that are done before the first that is not.
        """
        first = list(takewhile(self._done.__contains__, self._unanswered))
        self._done.difference_update(first)
        acks = [(first[-1], len(first) > 1)] if first else []
        acks += [(tag, False) for tag in sorted(self._done)]
        for tag in [*first, *self._done]:
            del self._unanswered[tag]
        self._done.clear()
        return acks
