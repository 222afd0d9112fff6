"""`netdemo.amqp.publisher` holds the window of a caller who heeds it, and no more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.window import WINDOW_MESSAGES
from netdemo.errors import ChannelLost
from tests.processes import anonymous_memory
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES = 1_000_000
KIB = 1024
MOST = 32 * KIB * KIB
"""Bytes more than before: a window of messages of 1 KiB, all that belongs to them, and air."""


class MemoryChannel:
    """The part of a channel that a publisher needs; it confirms what it has when it is told to."""

    def confirm_select(
        self, on_outcome: Callable[[int, bool, bool], None], _: object
    ) -> Deferred[None]:
        self._on_outcome = on_outcome
        return succeed(None)

    def publish(self, *_: object) -> None:
        """Take a message."""

    def confirm(self, count: int) -> None:
        """Confirm the first messages."""
        self._on_outcome(count, True, True)


class MemoryTests(TidyTestCase):
    """A million calls of `publish` while there is no broker, which comes back now and then."""

    timeout = 600

    def setUp(self) -> None:
        self.publisher = Publisher()
        self.calls = self.under_way = 0
        self.before = anonymous_memory(os.getpid())

    def publish_until_the_window_is_full(self) -> None:
        """Publish as a caller does who has no more than a window without a result."""
        while self.under_way < WINDOW_MESSAGES and self.calls < MESSAGES:
            done = self.publisher.publish(Message(bytes(KIB), message_id=None), "", "q")
            self.calls += 1
            self.under_way += 1
            done.addCallback(self._done)

    def _done(self, _: None) -> None:
        self.under_way -= 1

    def work(self, count: int) -> None:
        """Let the publisher have a channel until `count` messages are confirmed."""
        channel: Any = MemoryChannel()
        attaching = Deferred.fromCoroutine(self.publisher.attach(channel))
        self.successResultOf(attaching)
        channel.confirm(count)
        self.publisher.detach(ChannelLost("gone again"))

    def test_memory_is_that_of_a_window(self) -> None:
        while self.calls < MESSAGES or self.under_way:
            self.publish_until_the_window_is_full()
            self.assertLess(anonymous_memory(os.getpid()) - self.before, MOST)
            self.work(self.under_way)
        self.assertEqual((self.calls, self.under_way), (MESSAGES, 0))
