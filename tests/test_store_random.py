"""`netdemo.broker.store`: whatever happens in whatever order, what it holds is what it should."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker import batch as batch_module
from netdemo.broker import store as store_module
from netdemo.broker.database import open_database
from netdemo.broker.store import Store
from tests.stores import Thread, bodies, folder_store, message

Held = dict[int, dict[int, bytes]]
"""Bodies by position, by queue."""

QUEUES = st.integers(1, 3)
POSITIONS = st.integers(0, 30)


class RandomHistory(RuleBasedStateMachine):
    """A store in a folder, with a thread that works at any time, beside a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = Path(tempfile.mkdtemp(prefix="netdemo-"))
        self.folder = self.parent / "store"
        self.held: Held = {1: {}, 2: {}, 3: {}}
        self.next_position = {1: 0, 2: 0, 3: 0}
        self.open()
        for queue_id in self.held:
            self.store.add_queue(queue_id, "/", str(queue_id), False, b"")
        self.store.commit()
        self.finish()
        self.possible: list[Held] = []
        """What may be in the file after a crash: the last told to be there, and all after it."""
        self.changed()

    def changed(self) -> None:
        """Note what is held after a change."""
        self.possible.append({queue_id: dict(held) for queue_id, held in self.held.items()})

    def open(self) -> None:
        """Open the store."""
        self.thread = Thread()
        self.store = Store(open_database(self.folder), self.thread, Clock())

    def finish(self) -> None:
        """Have the thread work until it is idle."""
        while not self.thread.idle:
            self.thread.work()

    @rule(queue_id=QUEUES, count=st.integers(1, 7))
    def put(self, queue_id: int, count: int) -> None:
        for _ in range(count):
            position = self.next_position[queue_id]
            self.next_position[queue_id] += 1
            body = b"%d/%d" % (queue_id, position)
            self.held[queue_id][position] = body
            self.store.put(queue_id, position, message(body), None)
            self.changed()

    @rule(queue_id=QUEUES, nth=POSITIONS)
    def remove(self, queue_id: int, nth: int) -> None:
        held = self.held[queue_id]
        if held:
            position = sorted(held)[nth % len(held)]
            del held[position]
            self.store.remove(queue_id, position)
            self.changed()

    @rule(queue_id=QUEUES, first=POSITIONS, last=POSITIONS)
    def purge(self, queue_id: int, first: int, last: int) -> None:
        held = self.held[queue_id]
        self.held[queue_id] = {
            each: body for each, body in held.items() if not first <= each <= last
        }
        self.store.purge(queue_id, first, last)
        self.changed()

    @rule()
    def wait(self) -> None:
        now = self.possible[-1]

        def on_disk() -> None:
            while self.possible[0] is not now:
                self.possible.pop(0)

        self.store.on_disk(on_disk)

    @rule()
    def commit(self) -> None:
        self.store.commit()

    @rule()
    def work(self) -> None:
        if not self.thread.idle:
            self.thread.work()

    @rule()
    def reopen(self) -> None:
        closing = self.store.close()
        self.finish()
        assert closing.called
        self.open()
        self.check_loaded()
        del self.possible[:-1]

    @rule()
    def crash(self) -> None:
        copy = self.parent / "copy"
        shutil.copytree(self.folder, copy)
        left = folder_store(copy)
        assert {each: bodies(left, each) for each in self.held} in self.possible
        left.close()
        shutil.rmtree(copy)

    @rule(queue_id=QUEUES, first=POSITIONS, length=POSITIONS, limit=st.integers(0, 9))
    def fetch(self, queue_id: int, first: int, length: int, limit: int) -> None:
        last = first + length
        found = self.store.fetch(queue_id, first, last, limit)
        expected = sorted(each for each in self.held[queue_id] if first <= each <= last)[:limit]
        assert [(position, each.body) for position, each, _ in found] == [
            (position, self.held[queue_id][position]) for position in expected
        ]

    def check_loaded(self) -> None:
        """See that the store tells what it holds."""
        for queue in self.store.load().queues:
            held = self.held[queue.id]
            assert queue.messages == len(held)
            assert queue.body_bytes == sum(map(len, held.values()))
            assert queue.lowest == min(held, default=-1)
            assert queue.highest == max(held, default=-1)
            assert queue.next_position <= self.next_position[queue.id]
            assert queue.next_position > queue.highest

    @invariant()
    def holds_what_it_should(self) -> None:
        for queue_id, held in self.held.items():
            assert bodies(self.store, queue_id) == held

    def teardown(self) -> None:
        closing = self.store.close()
        self.finish()
        assert closing.called
        shutil.rmtree(self.parent)


class RandomHistoryTests(SynchronousTestCase):
    """The histories, with transactions of few messages."""

    def test_any_history(self) -> None:
        self.patch(store_module, "MAX_ROWS", 4)
        self.patch(batch_module, "SWEEP", 3)
        run_state_machine_as_test(
            RandomHistory, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
        )
