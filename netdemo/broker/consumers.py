"""Who gets the next message of a queue."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from netdemo.broker.backlog import Entry


class Source(Protocol):
    """A queue, as those who got its messages know it."""

    name: str

    def done(self, entry: Entry) -> None:
        """Forget `entry`: it was acknowledged."""

    def reject(self, entry: Entry) -> None:
        """Dead-letter `entry`, or forget it."""

    def requeue(self, entry: Entry) -> None:
        """Put `entry` back where it was."""

    def wake(self, consumer: Consumer) -> None:
        """Offer messages to `consumer` again, which has room now."""

    def remove_consumer(self, consumer: Consumer) -> None:
        """Deliver nothing more to `consumer`."""


class Receiver(Protocol):
    """The channel of a consumer."""

    def has_room(self, consumer: Consumer) -> bool:
        """Whether `consumer` takes a delivery now, as far as the channel is concerned."""

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Send `entry` to `consumer`."""

    def cancelled(self, consumer: Consumer) -> None:
        """Forget `consumer`: its queue is gone."""


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

    With `single_active` the first that came is the one that gets everything, until it goes.
    """

    def __init__(self, single_active: bool = False) -> None:
        self.members: list[Consumer] = []
        self._single_active = single_active
        self._turns: dict[int, deque[Consumer]] = {}
        """Those that may have room, by priority, the highest first."""

    def add(self, consumer: Consumer) -> None:
        """Let `consumer` take its turn behind the others."""
        self.members.append(consumer)
        self._wait_for_turn(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Forget `consumer`."""
        self.members.remove(consumer)
        turns = self._turns[consumer.priority]
        if not consumer.waiting:
            turns.remove(consumer)
        if not any(each.priority == consumer.priority for each in self.members):
            del self._turns[consumer.priority]

    def next(self) -> Consumer | None:
        """Return who gets the next message, ``None`` when nobody has room."""
        if self._single_active:
            active = self.members[0] if self.members else None
            if active is None or active.has_room():
                return active
            if not active.waiting:
                self._turns[active.priority].remove(active)
                active.waiting = True
            return None
        for turns in self._turns.values():
            while turns:
                consumer = turns[0]
                if consumer.has_room():
                    if len(turns) > 1:
                        turns.rotate(-1)
                    return consumer
                turns.popleft()
                consumer.waiting = True
        return None

    def wake(self, consumer: Consumer) -> None:
        """Offer messages to `consumer` again, which has room now."""
        if consumer.waiting:
            consumer.waiting = False
            self._turns[consumer.priority].append(consumer)

    def _wait_for_turn(self, consumer: Consumer) -> None:
        turns = self._turns.get(consumer.priority)
        if turns is None:
            turns = self._turns[consumer.priority] = deque()
            self._turns = dict(sorted(self._turns.items(), reverse=True))
        turns.append(consumer)
