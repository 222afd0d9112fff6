"""`netdemo.broker.backlog`: whatever comes and goes, it is in order, and little is in memory."""

from __future__ import annotations

from bisect import insort
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker import backlog as backlog_module
from netdemo.broker.backlog import PAGE, RESIDENT_BYTES, Backlog, Entry, PriorityBacklog, Run
from netdemo.broker.message import Message

FEW = 8
"""Messages in memory, and BATCH of them read at once, for random histories."""

BATCH = 3


class Disk:
    """What is stored, by position; `fetched` tells how many were read each time."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.fetched: list[int] = []

    def fetch(self, first: int, last: int, limit: int) -> list[Entry]:
        """Return entries; see `netdemo.broker.backlog.Fetch`."""
        found = [self.entries[each] for each in sorted(self.entries) if first <= each <= last]
        self.fetched.append(len(found[:limit]))
        return found[:limit]

    def put(self, position: int, body: bytes = b"", priority: int = 0) -> None:
        """Store a message."""
        self.entries[position] = entry(position, body, priority)


def entry(position: int, body: bytes = b"", priority: int = 0) -> Entry:
    """Return an entry."""
    return Entry(Message("", "", b"", body, priority=priority), position)


def positions(backlog: Backlog | PriorityBacklog) -> list[int]:
    """Take everything; return where it was."""
    return [backlog.pop().position for _ in range(len(backlog))]


class BacklogTests(SynchronousTestCase):
    """`Backlog`."""

    def setUp(self) -> None:
        self.disk = Disk()
        self.backlog = Backlog(self.disk.fetch)

    def store(self, count: int, body: bytes = b"") -> None:
        """Add messages that are on disk alone."""
        for position in range(count):
            self.disk.put(position, body)
            self.backlog.append_stored(position, len(body))

    def test_empty_backlog_has_no_head(self) -> None:
        self.assertIsNone(self.backlog.head())
        self.assertFalse(self.backlog)

    def test_head_stays_until_it_is_taken(self) -> None:
        one = entry(0)
        self.backlog.append(one)
        self.assertIs(one, self.backlog.head())
        self.assertIs(one, self.backlog.pop())
        self.assertIsNone(self.backlog.head())

    def test_what_is_given_back_stands_where_it_was(self) -> None:
        for position in range(4):
            self.backlog.append(entry(position))
        taken = [self.backlog.pop() for _ in range(3)]
        for each in (taken[2], taken[0]):
            self.backlog.give_back(each)
        self.assertEqual([0, 2, 3], positions(self.backlog))

    def test_what_is_given_back_stands_before_what_is_on_disk(self) -> None:
        self.store(PAGE + 5)
        taken = [self.backlog.pop() for _ in range(PAGE)]
        self.backlog.give_back(taken[3])
        self.assertEqual(3, self.backlog.pop().position)
        self.assertEqual([PAGE], self.disk.fetched)
        self.assertEqual(PAGE, self.backlog.pop().position)

    def test_only_a_page_is_read_at_once(self) -> None:
        self.store(3 * PAGE)
        self.backlog.pop()
        self.assertEqual([PAGE], self.disk.fetched)
        self.assertEqual(PAGE - 1, self.backlog.resident)

    def test_page_of_large_messages_is_shorter(self) -> None:
        self.store(9, b"b" * (backlog_module.PAGE_BYTES // 4))
        self.backlog.head()
        self.assertEqual([4], self.disk.fetched)

    def test_messages_larger_than_a_page_are_read_one_by_one(self) -> None:
        self.store(3, b"b" * (backlog_module.PAGE_BYTES + 1))
        self.backlog.head()
        self.assertEqual([1], self.disk.fetched)

    def test_run_that_is_shorter_on_disk_is_so(self) -> None:
        self.disk.put(1)
        self.disk.put(3)
        self.backlog.append_run(0, 9, 10, 0)
        self.backlog.head()
        self.assertEqual(2, len(self.backlog))
        self.assertEqual([1, 3], positions(self.backlog))

    def test_backlog_is_long_with_many_in_memory(self) -> None:
        for position in range(backlog_module.RESIDENT):
            self.assertFalse(self.backlog.is_long(False))
            self.backlog.append(entry(position))
        self.assertTrue(self.backlog.is_long(False))

    def test_backlog_is_long_with_large_ones(self) -> None:
        self.backlog.append(entry(0, b"b" * (RESIDENT_BYTES - 1)))
        self.assertFalse(self.backlog.is_long(False))
        self.backlog.append(entry(1, b"b"))
        self.assertTrue(self.backlog.is_long(False))

    def test_backlog_is_long_behind_what_is_on_disk(self) -> None:
        self.store(1)
        self.assertTrue(self.backlog.is_long(False))
        self.backlog.head()
        self.assertFalse(self.backlog.is_long(False))

    def test_neighbours_on_disk_are_one_run(self) -> None:
        self.store(100)
        (run,) = self.backlog.clear()
        assert isinstance(run, Run)
        self.assertEqual((0, 99, 100), (run.first, run.last, run.count))

    def test_cleared_backlog_is_empty(self) -> None:
        self.store(2, b"body")
        self.backlog.append(entry(5, b"body"))
        self.backlog.give_back(entry(1))
        self.assertEqual(3, len(self.backlog.clear()))
        counts = len(self.backlog), self.backlog.bytes, self.backlog.resident
        self.assertEqual((0, 0, 0), counts)
        self.assertIsNone(self.backlog.head())


class PriorityBacklogTests(SynchronousTestCase):
    """`PriorityBacklog`."""

    def setUp(self) -> None:
        self.disk = Disk()
        self.backlog = PriorityBacklog(5, self.disk.fetch)

    def test_empty_backlog_has_no_head(self) -> None:
        self.assertIsNone(self.backlog.head())
        self.assertFalse(self.backlog)

    def test_highest_priority_is_first_and_each_in_order(self) -> None:
        for position, priority in enumerate((0, 5, 2, 5, 0)):
            self.backlog.append(entry(position, priority=priority))
        self.assertEqual([1, 3, 2, 0, 4], positions(self.backlog))

    def test_priority_above_the_highest_is_the_highest(self) -> None:
        for position, priority in enumerate((5, 255, 5)):
            self.backlog.append(entry(position, priority=priority))
        self.assertEqual([0, 1, 2], positions(self.backlog))

    def test_what_is_given_back_stands_where_it_was(self) -> None:
        for position, priority in enumerate((1, 1, 3)):
            self.backlog.append(entry(position, priority=priority))
        for each in [self.backlog.pop() for _ in range(2)]:
            self.backlog.give_back(each)
        self.assertEqual([2, 0, 1], positions(self.backlog))

    def test_what_is_on_disk_is_read_in_order(self) -> None:
        for position, priority in enumerate((0, 5, 2, 5, 0)):
            self.disk.put(position, b"12", priority)
        self.backlog.append_run(0, 4, 5, 10)
        self.assertEqual((5, 10), (len(self.backlog), self.backlog.bytes))
        self.assertEqual([1, 3, 2, 0, 4], positions(self.backlog))

    def test_it_is_never_long(self) -> None:
        self.backlog.append(entry(0, b"b" * RESIDENT_BYTES))
        self.assertFalse(self.backlog.is_long(False))

    def test_cleared_backlog_is_empty(self) -> None:
        for priority in range(6):
            self.backlog.append(entry(priority, b"b", priority))
        self.assertEqual(6, len(self.backlog.clear()))
        self.assertEqual((0, 0), (len(self.backlog), self.backlog.bytes))


class History(RuleBasedStateMachine):
    """A backlog beside a sorted list of priority, position and size."""

    backlog: Backlog | PriorityBacklog
    highest = 0
    all_stored = False

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.next_position = 0
        self.model: list[tuple[int, int, int]] = []
        self.taken: list[Entry] = []
        self.given_back = 0
        self.make()

    def make(self) -> None:
        """Make the backlog."""
        self.backlog = Backlog(self.disk.fetch)

    def place(self, each: Entry) -> tuple[int, int, int]:
        """Return what the model has of an entry."""
        priority = min(each.message.priority, self.highest)
        return -priority, each.position, len(each.message.body)

    @rule(size=st.integers(0, 9), stored=st.booleans(), priority=st.integers(0, 4))
    def append(self, size: int, stored: bool, priority: int) -> None:
        new = entry(self.next_position, b"b" * size, priority)
        self.next_position += 1
        stored = stored or self.all_stored
        if stored:
            self.disk.entries[new.position] = new
        if stored and isinstance(self.backlog, Backlog) and self.backlog.is_long(False):
            self.backlog.append_stored(new.position, size)
        else:
            self.backlog.append(new)
        insort(self.model, self.place(new))

    @rule(count=st.integers(1, 20), gap=st.integers(0, 3))
    def append_run(self, count: int, gap: int) -> None:
        first = self.next_position
        new = [entry(first + number * (gap + 1), b"12") for number in range(count)]
        self.disk.entries.update((each.position, each) for each in new)
        self.next_position = new[-1].position + 1
        self.backlog.append_run(first, new[-1].position, count, 2 * count)
        for each in new:
            insort(self.model, self.place(each))

    @precondition(lambda self: self.model)
    @rule()
    def head(self) -> None:
        found = self.backlog.head()
        assert found is not None
        assert self.place(found) == self.model[0]

    @precondition(lambda self: self.model)
    @rule(count=st.integers(1, 30))
    def pop(self, count: int) -> None:
        for _ in range(min(count, len(self.model))):
            found = self.backlog.pop()
            assert self.place(found) == self.model.pop(0)
            self.taken.append(found)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        each = self.taken.pop(data.draw(st.integers(0, len(self.taken) - 1)))
        self.backlog.give_back(each)
        self.given_back += 1
        insort(self.model, self.place(each))

    @precondition(lambda self: self.taken)
    @rule()
    def settle(self) -> None:
        self.disk.entries.pop(self.taken.pop().position, None)

    @rule()
    def clear(self) -> None:
        left = self.backlog.clear()
        counts = [each.count if isinstance(each, Run) else 1 for each in left]
        assert sum(counts) == len(self.model)
        for _, position, _ in self.model:
            self.disk.entries.pop(position, None)
        self.model.clear()

    @invariant()
    def is_as_long_as_it_should_be(self) -> None:
        assert len(self.backlog) == len(self.model)
        assert self.backlog.bytes == sum(size for _, _, size in self.model)
        assert (self.backlog.head() is None) == (not self.model)


class PriorityHistory(History):
    """The same with priorities."""

    highest = 3

    def make(self) -> None:
        self.backlog = PriorityBacklog(self.highest, self.disk.fetch)


class PagedHistory(History):
    """All that comes is stored: but for what was given back, few are in memory."""

    all_stored = True

    @invariant()
    def few_are_in_memory(self) -> None:
        assert isinstance(self.backlog, Backlog)
        assert self.backlog.resident <= FEW + BATCH + self.given_back


class HistoryTests(SynchronousTestCase):
    """The histories, with pages of few messages."""

    settings: ClassVar[settings] = settings(max_examples=100, stateful_step_count=40, deadline=None)

    def setUp(self) -> None:
        self.patch(backlog_module, "RESIDENT", FEW)
        self.patch(backlog_module, "RESIDENT_BYTES", 40)
        self.patch(backlog_module, "PAGE", BATCH)
        self.patch(backlog_module, "PAGE_BYTES", 10)

    def test_any_history_keeps_the_order(self) -> None:
        run_state_machine_as_test(History, settings=self.settings)

    def test_any_history_with_priorities_keeps_the_order(self) -> None:
        run_state_machine_as_test(PriorityHistory, settings=self.settings)

    def test_any_history_of_what_is_stored_keeps_few_in_memory(self) -> None:
        run_state_machine_as_test(PagedHistory, settings=self.settings)
