"""Messages that are on disk do not fill the memory, in however many queues they are."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.arguments import QueueArguments
from netdemo.broker.broker import Broker
from netdemo.broker.message import Message
from netdemo.broker.properties import join_header
from netdemo.broker.store import memory_store
from netdemo.broker.users import guest_only

LIMIT = 1_000_000
BODY = b"b" * 1000
PERSISTENT = join_header({"delivery_mode": b"\x02"}, len(BODY))


class ManyQueuesTests(SynchronousTestCase):
    """A broker with a store, and a little memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = memory_store(self.clock)
        self.addCleanup(lambda: self.successResultOf(self.broker.stop()))
        self.broker = Broker(self.clock, guest_only(), self.store, LIMIT)

    def fill(self, persistent: bool) -> None:
        """Publish three times the limit to thirty durable queues."""
        vhost = self.broker.vhosts["/"]
        for number in range(30):
            name = f"q{number}"
            queue = vhost.add_queue(name, QueueArguments(), {}, True, False, None)
            for _ in range(100):
                message = Message("", name, PERSISTENT, BODY, persistent)
                self.broker.turns.run(queue.push, message)

    def test_stored_messages_leave_room_for_publishers(self) -> None:
        self.fill(persistent=True)
        self.assertLess(self.broker.memory.used, 0.6 * LIMIT)
        self.assertIsNone(self.broker.alarm)

    def test_others_raise_the_alarm(self) -> None:
        self.fill(persistent=False)
        self.assertEqual("low on memory", self.broker.alarm)

    def test_stored_messages_come_in_order_though_memory_was_short(self) -> None:
        self.fill(persistent=True)
        queue = self.broker.vhosts["/"].queues["q29"]
        entries = iter(queue.get, None)
        self.assertEqual(list(range(100)), [entry.position for entry in entries])
