"""`netdemo.amqp.window`: both limits, and the queue for room."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import TestCase

from netdemo.amqp.window import Window


class WindowTests(TestCase):
    """A window of two messages and ten bytes."""

    def setUp(self) -> None:
        self.window = Window(messages=2, size=10)

    def test_full_by_messages(self) -> None:
        self.window.take(0)
        self.assertFalse(self.window.full)
        self.window.take(0)
        self.assertTrue(self.window.full)

    def test_full_by_bytes(self) -> None:
        self.window.take(10)
        self.assertTrue(self.window.full)

    def test_room_at_once_when_not_full(self) -> None:
        self.successResultOf(self.window.when_room())

    def test_room_when_something_is_given_back(self) -> None:
        self.window.take(10)
        waiting = self.window.when_room()
        self.assertNoResult(waiting)
        self.window.give_back(10)
        self.successResultOf(waiting)

    def test_room_goes_to_the_first_and_stops_when_it_fills_the_window(self) -> None:
        self.window.take(10)
        first = self.window.when_room().addCallback(lambda _: self.window.take(10))
        second = self.window.when_room()
        self.window.give_back(10)
        self.successResultOf(first)
        self.assertNoResult(second)

    def test_cancelled_wait_is_forgotten(self) -> None:
        self.window.take(10)
        waiting = self.window.when_room()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.window.give_back(10)

    def test_empty_when_all_is_given_back(self) -> None:
        self.window.take(1)
        self.window.take(1)
        waiting = self.window.when_empty()
        self.window.give_back(1)
        self.assertNoResult(waiting)
        self.window.give_back(1)
        self.successResultOf(waiting)
        self.successResultOf(self.window.when_empty())


class RoomTests(TestCase):
    """A window of four messages, which lets in who waits when there is room for three."""

    def setUp(self) -> None:
        self.window = Window(messages=4, room=3)
        for _ in range(4):
            self.window.take(1)

    def test_nobody_is_let_in_before_there_is_so_much_room(self) -> None:
        waiting = self.window.when_room()
        for _ in range(2):
            self.window.give_back(1)
            self.assertNoResult(waiting)
        self.window.give_back(1)
        self.successResultOf(waiting)

    def test_who_comes_meanwhile_waits_behind_the_others(self) -> None:
        first = self.window.when_room()
        self.window.give_back(1)
        self.assertFalse(self.window.full)
        second = self.window.when_room()
        self.assertNoResult(second)
        first.addCallback(lambda _: self.assertNoResult(second))
        self.window.give_back(1)
        self.window.give_back(1)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_who_waits_again_is_the_last(self) -> None:
        let_in: list[str] = []

        def enter(name: str) -> None:
            let_in.append(name)
            self.window.take(1)
            self.window.when_room().addCallback(lambda _: enter(name))

        for name in "ab":
            self.window.when_room().addCallback(lambda _, name: enter(name), name)
        self.assertTrue(self.window.awaited)
        for _ in range(3):
            self.window.give_back(1)
        self.assertEqual(let_in, ["a", "b", "a"])

    def test_room_for_more_than_there_is(self) -> None:
        window = Window(messages=1, room=3)
        window.take(1)
        waiting = window.when_room()
        window.give_back(1)
        self.successResultOf(waiting)
        self.assertFalse(window.awaited)
