"""A queue: what is ready, who gets it, and what its limits make of the rest."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

from netdemo.broker.arguments import QUORUM
from netdemo.broker.backlog import Backlog, Entry, PriorityBacklog, Run
from netdemo.broker.consumers import Consumer, Rotation
from netdemo.errors import AccessRefused, PreconditionFailed, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from netdemo.broker.arguments import QueueArguments
    from netdemo.broker.memory import Memory
    from netdemo.broker.message import Message
    from netdemo.broker.schema import StoredQueue
    from netdemo.broker.store import Store
    from netdemo.broker.turns import Turns

EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
REJECTED: Final = "rejected"
DELIVERY_LIMIT: Final = "delivery_limit"

EXPIRED_AT_ONCE: Final = 500
"""Messages that expire in one turn; those that are left expire in the next, lest all else waits."""

_MILLISECONDS: Final = 1000


class Taken(Enum):
    """What became of a message that came to a queue."""

    REFUSED = auto()
    """The queue is full, and its overflow is ``reject-publish``."""

    IN_MEMORY = auto()
    STORED = auto()
    """It is on its way to the disk."""


class Home(Protocol):
    """What queues need of the virtual host and the broker in which they are."""

    name: str
    memory: Memory
    store: Store | None
    turns: Turns

    def dead_letter(
        self, queue: Queue, message: Message, reason: str, buried: Callable[[], None]
    ) -> None:
        """Publish ``message`` to the queue's dead letter exchange, if it has one.

        ``buried`` is called then, so that the disk has it anywhere at any time.
        """

    def delete_queue(self, queue: Queue) -> None:
        """Delete the queue."""


class Queue:
    """One queue. `owner` is the connection that it is exclusive to; `number` its name on disk."""

    def __init__(
        self,
        name: str,
        home: Home,
        limits: QueueArguments,
        arguments: dict[str, Any],
        *,
        number: int = 0,
        durable: bool = False,
        auto_delete: bool = False,
        owner: object = None,
    ) -> None:
        self.name = name
        self.number = number
        self.durable = durable
        self.auto_delete = auto_delete
        self.owner = owner
        self.limits = limits
        self.arguments = arguments
        self.home = home
        self._turns = home.turns
        self.is_quorum = limits.queue_type == QUORUM
        self.deleted = False
        self.rotation = Rotation(limits.single_active_consumer)
        highest = limits.max_priority
        self.ready: Backlog | PriorityBacklog = (
            Backlog(self._fetch) if highest is None else PriorityBacklog(highest, self._fetch)
        )
        self._next_position = 0
        self._delivered_before = -1
        self._store = home.store if durable and owner is None else None
        self._expiry: IDelayedCall | None = None
        self._expires = False
        self._idle: IDelayedCall | None = None
        self._limited = limits.max_length is not None or limits.max_length_bytes is not None
        self.touch()

    def __repr__(self) -> str:
        return f"<queue {self.name!r} in vhost {self.home.name!r}>"

    def restore(self, stored: StoredQueue) -> None:
        """Take what is on disk; what may have been delivered before is marked so."""
        self._delivered_before = stored.delivered
        self._next_position = stored.next_position
        if stored.messages:
            self.ready.append_run(stored.lowest, stored.highest, stored.messages, stored.body_bytes)
            assert self._store is not None
            # A look at the first, not a page of each queue.
            first = self._store.fetch(self.number, stored.lowest, stored.highest, 1)
            if any(expires_at is not None for _, _, expires_at in first):
                self._expires = True
                self._watch()

    def push(self, message: Message) -> Taken:
        """Take a message, or refuse it."""
        if self._limited and self._overflow(message):
            return Taken.REFUSED
        position = self._next_position
        self._next_position = position + 1
        expires_at = self._expiry_of(message)
        stored = self._store is not None and message.persistent
        if not self.ready:
            consumer = self.rotation.next()
            if consumer is not None:
                return self._pass_on(consumer, Entry(message, position, expires_at, stored))
        if stored:
            assert self._store is not None
            self._store.put(self.number, position, message, expires_at)
        if stored and self.ready.is_long(self.home.memory.is_short):
            self.ready.append_stored(position, len(message.body))  # type: ignore[union-attr]
        else:
            self.home.memory.hold(message)
            self.ready.append(Entry(message, position, expires_at, stored))
        if self._limited:
            self._drop_head()
        if expires_at is not None:
            self._watch()
        return Taken.STORED if stored else Taken.IN_MEMORY

    def dispatch(self) -> None:
        """Deliver what is ready to those who have room."""
        ready, rotation = self.ready, self.rotation
        expired = 0
        while ready:
            consumer = rotation.next()
            if consumer is None:
                break
            entry = ready.pop()
            if self._is_expired(entry):
                self._bury(entry, EXPIRED)
                expired += 1
                if expired >= EXPIRED_AT_ONCE:
                    break
            else:
                self._deliver(consumer, entry)
        if self._expires:
            self._watch()

    def get(self) -> Entry | None:
        """Take the first message (``basic.get``), ``None`` if there is none."""
        self.touch()
        self._drop_expired()
        head = self.ready.head()
        if head is None or self._is_expired(head):
            return None
        entry = self.ready.pop()
        if self._store is not None:
            self._store.delivered(self.number, entry.position)
        return entry

    def done(self, entry: Entry) -> None:
        """Forget ``entry``: it was acknowledged."""
        self.home.memory.release(entry.message)
        if entry.stored and not self.deleted:
            assert self._store is not None
            self._store.remove(self.number, entry.position)

    def reject(self, entry: Entry) -> None:
        """Dead-letter ``entry``, or forget it."""
        if self.deleted:
            self.done(entry)
        else:
            self._bury(entry, REJECTED)

    def requeue(self, entry: Entry) -> None:
        """Put ``entry`` back where it was."""
        if self.deleted:
            self.done(entry)
            return
        entry.redelivered = True
        if self.is_quorum:
            entry.returns += 1
            limit = self.limits.delivery_limit
            if limit is not None and entry.returns > limit:
                self._bury(entry, DELIVERY_LIMIT)
                return
        self.ready.give_back(entry)
        if self._limited:
            self._drop_head()
        if entry.expires_at is not None:
            self._watch()
        self._turns.stir(self)

    def add_consumer(self, consumer: Consumer) -> None:
        """Deliver to ``consumer`` too.

        :raises AccessRefused: if either wants the queue for itself.
        """
        first = self.rotation.first
        taken = first is not None and (consumer.exclusive or first.exclusive)
        if taken or (consumer.exclusive and self.limits.single_active_consumer):
            raise AccessRefused(f"queue '{self.name}' in vhost '{self.home.name}' in exclusive use")
        self.rotation.add(consumer)
        self.touch()
        self._turns.stir(self)

    def remove_consumer(self, consumer: Consumer) -> None:
        """Deliver nothing more to ``consumer``."""
        if self.deleted:
            return
        self.rotation.remove(consumer)
        self.touch()
        if self.auto_delete and not self.rotation.members:
            self.home.delete_queue(self)
        else:
            self._turns.stir(self)  # the next single active consumer may take its place

    def cancel_consumers(self) -> None:
        """Tell the consumers that they get nothing more."""
        for consumer in list(self.rotation.members):
            self.remove_consumer(consumer)
            consumer.receiver.cancelled(consumer)

    def wake(self, consumer: Consumer) -> None:
        """Offer messages to ``consumer`` again, which has room now."""
        self.rotation.wake(consumer)
        if self.ready:
            self._turns.stir(self)

    def purge(self) -> int:
        """Drop what is ready; return how many messages it was."""
        self._drop_expired()
        count = len(self.ready)
        for each in self.ready.clear():
            if isinstance(each, Run):
                assert self._store is not None
                self._store.purge(self.number, each.first, each.last)
            else:
                self.done(each)
        return count

    def end(self) -> None:
        """Stop the clocks and drop what is ready: the queue is deleted."""
        self.deleted = True
        self.stop()
        for each in self.ready.clear():
            if isinstance(each, Entry):
                self.home.memory.release(each.message)
        for consumer in self.rotation.members:
            consumer.receiver.cancelled(consumer)

    def check_deletable(self, if_unused: bool, if_empty: bool) -> None:
        """Refuse to be deleted when it is in use, or not empty, and should be.

        :raises PreconditionFailed: then.
        :raises Unimplemented: for a quorum queue, which RabbitMQ does not ask.
        """
        me = f"queue '{self.name}' in vhost '{self.home.name}'"
        if self.is_quorum and (if_unused or if_empty):
            flag = "if-unused" if if_unused else "if-empty"
            raise Unimplemented(
                f"cannot delete {me}. queue.delete operations with {flag} flag set are not "
                "supported by quorum queues"
            )
        if if_unused and self.rotation.members:
            raise PreconditionFailed(f"{me} in use")
        if if_empty and self.count():
            raise PreconditionFailed(f"{me} not empty")

    def stop(self) -> None:
        """Stop the clocks: the broker stops."""
        for timer in (self._expiry, self._idle):
            if timer is not None and timer.active():
                timer.cancel()

    def touch(self) -> None:
        """Note that the queue is used: ``x-expires`` counts from now, while nobody consumes."""
        if self.limits.expires is None:
            return
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if not self.rotation.members:
            delay = self.limits.expires / _MILLISECONDS
            self._idle = self._turns.call_later(delay, self.home.delete_queue, self)

    def count(self) -> int:
        """Return how many messages are ready."""
        self._drop_expired()
        return len(self.ready)

    def _pass_on(self, consumer: Consumer, entry: Entry) -> Taken:
        """Deliver what came while nothing was waiting."""
        if consumer.no_ack:
            consumer.receiver.deliver(consumer, entry)
            return Taken.IN_MEMORY
        if entry.stored:
            assert self._store is not None
            self._store.put(self.number, entry.position, entry.message, entry.expires_at)
        self.home.memory.hold(entry.message)
        self._deliver(consumer, entry)
        return Taken.STORED if entry.stored else Taken.IN_MEMORY

    def _deliver(self, consumer: Consumer, entry: Entry) -> None:
        if entry.stored and self._store is not None:
            self._store.delivered(self.number, entry.position)
        consumer.receiver.deliver(consumer, entry)
        if consumer.no_ack:
            self.done(entry)

    def _fetch(self, first: int, last: int, limit: int) -> list[Entry]:
        assert self._store is not None
        entries = []
        for position, message, expires_at in self._store.fetch(self.number, first, last, limit):
            self.home.memory.hold(message)
            redelivered = position <= self._delivered_before
            entries.append(Entry(message, position, expires_at, True, redelivered))
            if expires_at is not None:
                self._expires = True
        return entries

    def _overflow(self, message: Message) -> bool:
        """Whether ``message`` is refused: there is no room, and none is made for it."""
        limits = self.limits
        if limits.overflow == "drop-head" or not self._is_full(1, len(message.body)):
            return False
        if limits.overflow == "reject-publish-dlx":
            self.home.dead_letter(self, message, MAXLEN, lambda: None)
        return True

    def _is_full(self, more: int = 0, more_bytes: int = 0) -> bool:
        most, most_bytes = self.limits.max_length, self.limits.max_length_bytes
        return (most is not None and len(self.ready) + more > most) or (
            most_bytes is not None and self.ready.bytes + more_bytes > most_bytes
        )

    def _drop_head(self) -> None:
        while self.ready and self._is_full():
            self._bury(self.ready.pop(), MAXLEN)

    def _bury(self, entry: Entry, reason: str) -> None:
        self.home.dead_letter(self, entry.message, reason, lambda: self.done(entry))

    def _expiry_of(self, message: Message) -> float | None:
        own, common = message.expiration, self.limits.message_ttl
        if own is None and common is None:  # as it is for most, so it is to cost little
            return None
        delays = [each for each in (own, common) if each is not None]
        self._expires = True
        return self._turns.seconds() + min(delays) / _MILLISECONDS

    def _drop_expired(self) -> None:
        if not self._expires:
            return
        for _ in range(EXPIRED_AT_ONCE):
            head = self.ready.head()
            if head is None or not self._is_expired(head):
                return
            self._bury(self.ready.pop(), EXPIRED)
        self._watch()

    def _is_expired(self, entry: Entry) -> bool:
        return entry.expires_at is not None and entry.expires_at <= self._turns.seconds()

    def _watch(self) -> None:
        """Be called when the first in line expires."""
        head = self.ready.head()
        if head is None or head.expires_at is None:
            return
        if self._expiry is not None and self._expiry.active():
            if self._expiry.getTime() <= head.expires_at:
                return
            self._expiry.cancel()
        delay = max(0.0, head.expires_at - self._turns.seconds())
        self._expiry = self._turns.call_later(delay, self._expire)

    def _expire(self) -> None:
        self._drop_expired()
        self._turns.stir(self)
