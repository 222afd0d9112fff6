"""`netdemo.broker.consumers`: who gets the next message of a queue."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.consumers import Consumer, Rotation
from netdemo.broker.replies import NoQueue

if TYPE_CHECKING:
    from netdemo.broker.backlog import Entry


class Room:
    """A receiver that has `room` for every consumer, or for none."""

    def __init__(self, room: bool = True) -> None:
        self.room = room

    def has_room(self, consumer: Consumer) -> bool:  # noqa: ARG002
        """Tell whether it has."""
        return self.room

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Do nothing."""

    def cancelled(self, consumer: Consumer) -> None:
        """Do nothing."""


def consumer(tag: str = "", priority: int = 0, prefetch: int = 0, room: bool = True) -> Consumer:
    """Return a consumer with a receiver of its own."""
    return Consumer(tag, NoQueue(), Room(room), prefetch=prefetch, priority=priority)


def full(priority: int = 0) -> Consumer:
    """Return a consumer that holds all that it may."""
    made = consumer(priority=priority, prefetch=1)
    made.unacked = 1
    return made


def rotation(*members: Consumer, single_active: bool = False) -> Rotation:
    """Return a rotation of consumers, which came in this order."""
    made = Rotation(single_active)
    for each in members:
        made.add(each)
    return made


class ConsumerTests(SynchronousTestCase):
    """`Consumer.has_room`."""

    def test_consumer_with_fewer_than_its_prefetch_has_room(self) -> None:
        one = consumer(prefetch=2)
        one.unacked = 1
        self.assertTrue(one.has_room())

    def test_consumer_with_its_prefetch_has_none(self) -> None:
        self.assertFalse(full().has_room())

    def test_prefetch_0_is_no_limit(self) -> None:
        one = consumer()
        one.unacked = 1_000_000
        self.assertTrue(one.has_room())

    def test_prefetch_of_one_that_acknowledges_nothing_is_no_limit(self) -> None:
        self.assertEqual(0, Consumer("", NoQueue(), Room(), no_ack=True, prefetch=1).prefetch)

    def test_channel_without_room_has_none_for_its_consumers(self) -> None:
        self.assertFalse(consumer(room=False).has_room())


class TurnsTests(SynchronousTestCase):
    """Several consumers of one queue."""

    def test_without_consumers_nobody_is_next(self) -> None:
        self.assertIsNone(Rotation().next())

    def test_consumers_take_turns_in_the_order_in_which_they_came(self) -> None:
        one, two, three = consumer(), consumer(), consumer()
        turns = rotation(one, two, three)
        self.assertEqual([one, two, three, one], [turns.next() for _ in range(4)])

    def test_full_consumer_is_passed_over(self) -> None:
        one, two = full(), consumer()
        turns = rotation(one, two)
        self.assertEqual([two, two], [turns.next() for _ in range(2)])
        self.assertTrue(one.waiting)

    def test_full_consumer_gets_nothing_until_it_is_woken(self) -> None:
        one = full()
        turns = rotation(one)
        turns.next()
        one.unacked = 0
        self.assertIsNone(turns.next())
        turns.wake(one)
        self.assertIs(one, turns.next())
        self.assertFalse(one.waiting)

    def test_consumer_that_is_woken_twice_gets_one_turn(self) -> None:
        one, two = full(), consumer()
        turns = rotation(one, two)
        turns.next()
        one.unacked = 0
        turns.wake(one)
        turns.wake(one)
        self.assertEqual([two, one, two, one], [turns.next() for _ in range(4)])

    @given(st.integers(1, 8), st.integers(0, 200))
    def test_when_all_have_room_each_gets_its_share(self, count: int, offers: int) -> None:
        members = [consumer() for _ in range(count)]
        turns = rotation(*members)
        got = Counter(turns.next() for _ in range(offers))
        for each in members:
            self.assertIn(got[each], (offers // count, -(-offers // count)))


class PriorityTests(SynchronousTestCase):
    """Consumers with priorities."""

    def test_highest_priority_gets_all_while_it_has_room(self) -> None:
        low, high = consumer(), consumer(priority=5)
        turns = rotation(low, high)
        self.assertEqual([high, high], [turns.next() for _ in range(2)])

    def test_lower_priority_gets_what_the_higher_has_no_room_for(self) -> None:
        low, high = consumer(priority=-5), full(priority=5)
        self.assertIs(low, rotation(low, high).next())

    def test_higher_priority_is_first_again_when_it_is_woken(self) -> None:
        low, high = consumer(), full(priority=5)
        turns = rotation(low, high)
        turns.next()
        high.unacked = 0
        turns.wake(high)
        self.assertIs(high, turns.next())

    def test_those_of_one_priority_take_turns(self) -> None:
        one, two = consumer(priority=5), consumer(priority=5)
        turns = rotation(consumer(), one, two)
        self.assertEqual([one, two, one], [turns.next() for _ in range(3)])


class SingleActiveTests(SynchronousTestCase):
    """A queue whose first consumer gets everything."""

    def test_first_gets_all_whatever_its_priority(self) -> None:
        one, two = consumer(), consumer(priority=5)
        turns = rotation(one, two, single_active=True)
        self.assertEqual([one, one], [turns.next() for _ in range(2)])

    def test_nobody_gets_what_the_first_has_no_room_for(self) -> None:
        self.assertIsNone(rotation(full(), consumer(), single_active=True).next())

    def test_first_without_room_waits_until_it_is_woken(self) -> None:
        one = full()
        turns = rotation(one, consumer(), single_active=True)
        turns.next()
        self.assertTrue(one.waiting)
        one.unacked = 0
        turns.wake(one)
        self.assertIs(one, turns.next())
        self.assertFalse(one.waiting)

    def test_next_is_active_when_the_first_goes(self) -> None:
        for one in (consumer(), full()):
            two = consumer()
            turns = rotation(one, two, single_active=True)
            turns.next()
            turns.remove(one)
            self.assertIs(two, turns.next())


class RemovalTests(SynchronousTestCase):
    """Consumers that go."""

    def test_last_that_goes_leaves_nobody(self) -> None:
        one = consumer()
        turns = rotation(one)
        turns.remove(one)
        self.assertIsNone(turns.next())
        self.assertEqual([], list(turns.members))

    def test_one_that_waits_can_go(self) -> None:
        one, two = full(), consumer()
        turns = rotation(one, two)
        turns.next()
        turns.remove(one)
        self.assertEqual([two, two], [turns.next() for _ in range(2)])

    @given(
        st.lists(
            st.tuples(st.sampled_from(("add", "remove", "next", "wake")), st.integers(0, 5)),
            max_size=50,
        ),
        st.booleans(),
    )
    def test_whoever_goes_whenever_others_with_room_are_next(
        self, steps: list[tuple[str, int]], single_active: bool
    ) -> None:
        turns = Rotation(single_active)
        for step, number in steps:
            members = list(turns.members)
            if step == "add":
                turns.add(consumer(priority=number % 2, prefetch=1))
            elif step == "next":
                if (chosen := turns.next()) is not None:
                    self.assertTrue(chosen.has_room())
                    chosen.unacked = 1
            elif number < len(members):
                if step == "remove":
                    turns.remove(members[number])
                else:
                    members[number].unacked = 0
                    turns.wake(members[number])
            members = list(turns.members)
            able = [each for each in members[: 1 if single_active else None] if each.has_room()]
            chosen = turns.next()
            if not able:
                self.assertIsNone(chosen)
            else:
                assert chosen is not None
                self.assertIn(chosen, able)
                self.assertEqual(max(each.priority for each in able), chosen.priority)


class GoneTests(SynchronousTestCase):
    """A consumer that has gone and still answers what it holds."""

    def test_it_gets_no_more_when_it_had_no_room_before(self) -> None:
        turns = Rotation()
        gone, other = consumer(prefetch=1), consumer(prefetch=1)
        turns.add(gone)
        turns.add(other)
        gone.unacked = 1
        self.assertIs(other, turns.next())
        turns.remove(gone)
        gone.unacked = 0
        turns.wake(gone)
        self.assertEqual([other] * 3, [turns.next() for _ in range(3)])

    def test_nothing_happens_when_nobody_else_is_there(self) -> None:
        turns = Rotation()
        gone = consumer(prefetch=1)
        turns.add(gone)
        gone.unacked = 1
        self.assertIsNone(turns.next())
        turns.remove(gone)
        turns.wake(gone)
        self.assertIsNone(turns.next())
