"""A load of numbered messages: what was confirmed, what was seen, and in which order."""

from __future__ import annotations

import contextlib  # trial takes a name `suppress` for its own
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as DeferredTimeout

from netdemo.amqp import Message
from netdemo.errors import NackedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from netdemo.amqp import Delivery, Publisher

UNDER_WAY = 1000
"""Messages that each publisher has under way at once."""

PATIENCE = 150.0
"""Seconds without any new message after which what was not seen is missing.

RabbitMQ 3.10 leaves a consumer of a quorum queue without a leader waiting for 60 seconds, and then
closes its connection.
"""


class Load:
    """Numbered messages from several publishers to one queue, and what its consumer sees of them.

    `order` has the numbers of each publisher in the order in which they were seen for the first
    time. What is seen again counts in `repeats`; what the broker refused, and was published
    again, in `refused`. `strange` has what nobody has sent like that: another body, or the body
    with another `message_id`.
    """

    def __init__(self, queue: str, under_way: int = UNDER_WAY, size: int = 0) -> None:
        """Have so many messages of each publisher `under_way` at once, of `size` bytes at least."""
        self.queue = queue
        self._under_way = under_way
        self._size = size
        self.sent: dict[bytes, str | None] = {}
        self.failed: list[Failure] = []
        self.confirmed_at: list[float] = []
        self.seen: set[bytes] = set()
        self.order: dict[str, list[int]] = defaultdict(list)
        self.refused = 0
        self.repeats = 0
        self.strange: list[bytes] = []
        self._ended = False
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    async def publish(self, publisher: Publisher, count: int) -> None:
        """Publish `count` messages; return when each has its outcome.

        It publishes no more when one has failed, or `end` is called.
        """
        room = DeferredSemaphore(self._under_way)
        for number in range(count):
            await room.acquire()
            if self._ended:
                room.release()
                break
            text = f"{publisher} {number}".encode()
            message = Message(text.ljust(self._size))
            self.sent[text] = message.message_id
            done = Deferred.fromCoroutine(self._publish(publisher, message))
            done.addErrback(self._failed)
            done.addBoth(lambda _: room.release())
        for _ in range(self._under_way):
            await room.acquire()

    def end(self) -> None:
        """Publish no more."""
        self._ended = True

    def see(self, delivery: Delivery) -> None:
        """Handle a delivery."""
        text = delivery.message.body.rstrip()
        if self.sent.get(text, "") != delivery.message.message_id:
            self.strange.append(text)
        elif text in self.seen:
            self.repeats += 1
        else:
            self.seen.add(text)
            publisher, number = text.decode().rsplit(maxsplit=1)
            self.order[publisher].append(int(number))
        self._look()

    def has_confirmed(self, count: int) -> bool:
        """Tell whether so many messages are confirmed."""
        return len(self.confirmed_at) >= count

    def has_confirmed_after(self, moment: float) -> bool:
        """Tell whether a message was confirmed after this time of the day."""
        return self.confirmed_at[-1] > moment

    async def all_seen(self, reactor: Any) -> None:
        """Wait until what was sent is seen.

        :raises AssertionError: with what is missing, if nothing comes any more.
        """
        seen = -1
        while len(self.seen) < len(self.sent):
            if len(self.seen) == seen:
                missing = sorted(self.sent.keys() - self.seen)
                raise AssertionError(f"{len(missing)} are missing: {missing[:10]}")
            seen = len(self.seen)
            waiting = self.until(lambda: len(self.seen) == len(self.sent))
            with contextlib.suppress(DeferredTimeout):
                await waiting.addTimeout(PATIENCE, reactor)

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fire when `condition` holds, which is asked at every confirm and every delivery."""
        waiting: Deferred[None] = Deferred(self._no_longer_waiting)
        self._waiting.append((condition, waiting))
        self._look()
        return waiting

    async def _publish(self, publisher: Publisher, message: Message) -> None:
        """Publish `message` until the broker takes it."""
        while True:
            try:
                await publisher.publish(message, "", self.queue)
            except NackedError:
                self.refused += 1
            else:
                self.confirmed_at.append(time.time())
                self._look()
                return

    def _look(self) -> None:
        for condition, waiting in list(self._waiting):
            if condition():
                self._waiting.remove((condition, waiting))
                waiting.callback(None)

    def _failed(self, failure: Failure) -> None:
        self.failed.append(failure)
        self.end()

    def _no_longer_waiting(self, cancelled: Deferred[None]) -> None:
        self._waiting = [entry for entry in self._waiting if entry[1] is not cancelled]
