"""Messages that die are on disk somewhere at any time, also when one death leads to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.arguments import parse_queue_arguments
from netdemo.broker.broker import Broker
from netdemo.broker.message import Message
from netdemo.broker.properties import join_header
from netdemo.broker.store import Store, memory_store
from netdemo.broker.users import guest_only

if TYPE_CHECKING:
    from typing import Any

HEADER = join_header({"delivery_mode": b"\x02"}, 1)


class OrderTests(SynchronousTestCase):
    """What the store is told, and when."""

    def setUp(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.patch(Store, "put", self.watched("put", Store.put))
        self.patch(Store, "remove", self.watched("remove", Store.remove))
        clock = Clock()
        self.broker = Broker(clock, guest_only(), memory_store(clock))
        self.addCleanup(lambda: self.successResultOf(self.broker.stop()))

    def watched(self, name: str, call: Any) -> Any:
        """Return `call`, which notes the queue that it is about."""

        def noted(store: Store, queue_id: int, *arguments: Any) -> None:
            self.told.append((name, queue_id))
            call(store, queue_id, *arguments)

        return noted

    def declare(self, name: str, **arguments: Any) -> Any:
        """Declare a durable queue of one message."""
        table = {f"x-{each.replace('_', '-')}": value for each, value in arguments.items()}
        table["x-max-length"] = 1
        limits = parse_queue_arguments(name, "/", table)
        return self.broker.vhost("/").add_queue(name, limits, table, True, False, None)

    def test_message_is_put_where_it_goes_before_it_is_removed_where_it_was(self) -> None:
        first = self.declare("a", dead_letter_exchange="", dead_letter_routing_key="b")
        second = self.declare("b", dead_letter_exchange="", dead_letter_routing_key="c")
        third = self.declare("c")
        for queue in (second, first):
            queue.push(Message("", queue.name, HEADER, b"1", persistent=True))
        self.told.clear()
        self.broker.turns.run(first.push, Message("", "a", HEADER, b"2", persistent=True))
        a, b, c = first.number, second.number, third.number
        expected = [("put", a), ("put", b), ("remove", a), ("put", c), ("remove", b)]
        self.assertEqual(expected, self.told)
