"""`netdemo.broker.turns`: what is done at the end of a turn, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable


class OwnError(Exception):
    """A mistake."""


class Part:
    """A queue, channel, connection or store that tells of what is done; `then` may do more."""

    def __init__(self, name: str, done: list[str], then: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._done = done
        self._then = then

    def dispatch(self) -> None:
        """Tell that it is done."""
        self._done.append(self._name)
        self._then()

    flush = commit = dispatch


def fail() -> None:
    """Make a mistake."""
    raise OwnError


class TurnsTestCase(SynchronousTestCase):
    """A turn with a store that commits nothing."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.done: list[str] = []
        store: Any = self.part("store")
        self.turns = Turns(self.clock, store)

    def part(self, name: str, then: Callable[[], None] = lambda: None) -> Part:
        """Return a part of the broker."""
        return Part(name, self.done, then)

    def tell(self, name: str) -> Callable[[], None]:
        """Return what tells that it was called."""
        return lambda: self.done.append(name)


class OrderTests(TurnsTestCase):
    """What comes after what."""

    def test_end_is_queues_then_channels_then_the_store_then_connections(self) -> None:
        def arrive() -> None:
            self.turns.write_later(self.part("connection"))
            self.turns.flush_later(self.part("channel"))
            self.turns.stir(self.part("queue"))
            self.done.append("arrived")

        self.turns.run(arrive)
        self.assertEqual(["arrived", "queue", "channel", "store", "connection"], self.done)

    def test_what_is_to_be_done_is_done_once(self) -> None:
        part = self.part("queue")

        def arrive() -> None:
            self.turns.stir(part)
            self.turns.stir(part)

        self.turns.run(arrive)
        self.turns.run(lambda: None)
        self.assertEqual(["queue", "store", "store"], self.done)

    def test_parts_of_a_kind_keep_their_order(self) -> None:
        names = ["c", "a", "b"]

        def arrive() -> None:
            for name in names:
                self.turns.stir(self.part(name))

        self.turns.run(arrive)
        self.assertEqual([*names, "store"], self.done)

    def test_queue_that_stirs_another_is_dispatched_before_channels(self) -> None:
        other = self.part("other")

        def arrive() -> None:
            self.turns.flush_later(self.part("channel"))
            self.turns.stir(self.part("queue", lambda: self.turns.stir(other)))

        self.turns.run(arrive)
        self.assertEqual(["queue", "other", "channel", "store"], self.done)

    def test_what_a_commit_leads_to_is_in_the_same_turn(self) -> None:
        channel = self.part("channel", lambda: self.turns.write_later(self.part("connection")))
        commits = iter([lambda: self.turns.flush_later(channel)])
        store: Any = self.part("store", lambda: next(commits, lambda: None)())
        self.turns = Turns(self.clock, store)
        self.turns.run(lambda: self.turns.write_later(self.part("early")))
        self.assertEqual(["store", "early", "channel", "store", "connection"], self.done)

    def test_arguments_are_passed_on(self) -> None:
        self.turns.run(self.done.append, "called")
        self.assertEqual(["called", "store"], self.done)

    def test_without_a_store_the_rest_is_done(self) -> None:
        turns = Turns(self.clock, None)
        turns.run(lambda: turns.write_later(self.part("connection")))
        self.assertEqual(["connection"], self.done)


class NestedTests(TurnsTestCase):
    """A turn within a turn."""

    def test_end_of_the_outer_turn_is_the_end_of_both(self) -> None:
        def outer() -> None:
            self.turns.run(self.tell("inner"))
            self.done.append("outer")

        self.turns.run(outer)
        self.assertEqual(["inner", "outer", "store"], self.done)

    def test_turn_within_the_end_is_part_of_it(self) -> None:
        def dispatch() -> None:
            self.turns.run(self.turns.stir, self.part("other"))

        self.turns.run(lambda: self.turns.stir(self.part("queue", dispatch)))
        self.assertEqual(["queue", "other", "store"], self.done)

    def test_mistake_within_is_the_outer_ones(self) -> None:
        def outer() -> None:
            self.assertRaises(OwnError, self.turns.run, fail)
            self.assertEqual([], self.done)

        self.turns.run(outer)
        self.assertEqual(["store"], self.done)


class MistakeTests(TurnsTestCase):
    """Mistakes of ours."""

    def test_mistake_in_one_part_costs_the_others_nothing(self) -> None:
        def arrive() -> None:
            for add, name in (
                (self.turns.stir, "queue"),
                (self.turns.flush_later, "channel"),
                (self.turns.write_later, "connection"),
            ):
                add(self.part(f"bad {name}", fail))
                add(self.part(name))

        self.turns.run(arrive)
        expected = "bad queue, queue, bad channel, channel, store, bad connection, connection"
        self.assertEqual(expected, ", ".join(self.done))
        self.assertEqual(3, len(self.flushLoggedErrors(OwnError)))

    def test_turn_with_a_mistake_is_ended(self) -> None:
        def arrive() -> None:
            self.turns.write_later(self.part("connection"))
            fail()

        self.assertRaises(OwnError, self.turns.run, arrive)
        self.assertEqual(["store", "connection"], self.done)

    def test_turn_after_a_mistake_is_one(self) -> None:
        self.assertRaises(OwnError, self.turns.run, fail)
        self.turns.run(lambda: self.turns.write_later(self.part("connection")))
        self.assertEqual(["store", "store", "connection"], self.done)

    def test_turn_after_a_mistake_of_the_store_is_one(self) -> None:
        mistakes = iter([fail])
        store: Any = self.part("store", lambda: next(mistakes, lambda: None)())
        self.turns = Turns(self.clock, store)
        connection = self.part("connection")
        self.assertRaises(OwnError, self.turns.run, self.turns.write_later, connection)
        self.turns.run(lambda: None)
        self.assertEqual(["store", "store", "connection"], self.done)


class TimeTests(TurnsTestCase):
    """Timers."""

    def test_time_is_the_clocks(self) -> None:
        self.clock.advance(5)
        self.assertEqual(5, self.turns.seconds())

    def test_timer_is_a_turn_of_its_own(self) -> None:
        def late() -> None:
            self.turns.write_later(self.part("connection"))

        self.turns.call_later(2, late)
        self.clock.advance(1)
        self.assertEqual([], self.done)
        self.clock.advance(1)
        self.assertEqual(["store", "connection"], self.done)

    def test_timer_has_arguments_and_can_be_cancelled(self) -> None:
        self.turns.call_later(1, self.done.append, "called")
        self.turns.call_later(1, self.done.append, "never").cancel()
        self.clock.advance(1)
        self.assertEqual(["called", "store"], self.done)
