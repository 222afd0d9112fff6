"""Who gets the next message of a queue."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from netdemo.broker.tally import Tally

if TYPE_CHECKING:
    from netdemo.broker.backlog import Entry


class Source(Protocol):
    """A queue, as those who got its messages know it."""

    name: str

    def done(self, entry: Entry) -> None:
        """Forget ``entry``: it was acknowledged."""

    def reject(self, entry: Entry) -> None:
        """Dead-letter ``entry``, or forget it."""

    def requeue(self, entry: Entry) -> None:
        """Put ``entry`` back where it was."""

    def wake(self, consumer: Consumer) -> None:
        """Offer messages to ``consumer`` again, which has room now."""

    def remove_consumer(self, consumer: Consumer) -> None:
        """Deliver nothing more to ``consumer``."""


class Receiver(Protocol):
    """The channel of a consumer."""

    def has_room(self, consumer: Consumer) -> bool:
        """Whether ``consumer`` takes a delivery now, as far as the channel is concerned."""

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Send ``entry`` to ``consumer``."""

    def cancelled(self, consumer: Consumer) -> None:
        """Forget ``consumer``: its queue is gone."""


class Consumer:
    """A subscription of a channel to a queue.

    `prefetch` is how many deliveries it may hold unacknowledged, 0 for any number; `unacked` is how
    many it does. `waiting` tells that it could not take the last that was offered to it.
    """

    __slots__ = (
        "exclusive",
        "no_ack",
        "prefetch",
        "priority",
        "queue",
        "receiver",
        "tag",
        "unacked",
        "waiting",
    )

    def __init__(
        self,
        tag: str,
        queue: Source,
        receiver: Receiver,
        no_ack: bool = False,
        exclusive: bool = False,
        prefetch: int = 0,
        priority: int = 0,
    ) -> None:
        self.tag = tag
        self.queue = queue
        self.receiver = receiver
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.prefetch = 0 if no_ack else prefetch
        self.priority = priority
        self.unacked = 0
        self.waiting = False

    def has_room(self) -> bool:
        """Whether it takes a delivery now."""
        return (not self.prefetch or self.unacked < self.prefetch) and self.receiver.has_room(self)


class Rotation:
    """The consumers of a queue: those of the highest priority that have room, by turns.

    With ``single_active`` the first that came is the one that gets everything, until it goes.
    """

    def __init__(self, single_active: bool = False) -> None:
        self.members: OrderedDict[Consumer, None] = OrderedDict()
        self._single_active = single_active
        self._priorities: list[int] = []
        """Those that there are, negated, so that the highest is the first."""
        self._turns: dict[int, OrderedDict[Consumer, None]] = {}
        """Those that may have room, by priority."""
        self._counts: Tally[int] = Tally()
        """How many members have a priority."""

    @property
    def first(self) -> Consumer | None:
        """The member that came first."""
        return next(iter(self.members), None)

    def add(self, consumer: Consumer) -> None:
        """Let ``consumer`` take its turn behind the others."""
        priority = consumer.priority
        if priority not in self._counts:
            insort(self._priorities, -priority)
            self._turns[priority] = OrderedDict()
        self._counts.add(priority)
        self.members[consumer] = None
        self._turns[priority][consumer] = None

    def remove(self, consumer: Consumer) -> None:
        """Forget ``consumer``."""
        priority = consumer.priority
        del self.members[consumer]
        consumer.waiting = False  # for what it still holds, nobody is to wake it
        self._turns[priority].pop(consumer, None)
        self._counts.remove(priority)
        if priority not in self._counts:
            del self._turns[priority]
            del self._priorities[bisect_left(self._priorities, -priority)]

    def next(self) -> Consumer | None:
        """Return who gets the next message, ``None`` when nobody has room."""
        if self._single_active:
            active = self.first
            if active is None or active.has_room():
                return active
            if not active.waiting:
                del self._turns[active.priority][active]
                active.waiting = True
            return None
        for priority in self._priorities:
            turns = self._turns[-priority]
            while turns:
                consumer = next(iter(turns))
                if consumer.has_room():
                    turns.move_to_end(consumer)
                    return consumer
                del turns[consumer]
                consumer.waiting = True
        return None

    def wake(self, consumer: Consumer) -> None:
        """Offer messages to ``consumer`` again, which has room now."""
        if consumer.waiting:
            consumer.waiting = False
            self._turns[consumer.priority][consumer] = None
