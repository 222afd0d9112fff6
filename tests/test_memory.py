"""`netdemo.broker.memory`: what messages take, and the alarm."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.memory import MAX_MEMORY, Memory
from netdemo.broker.message import OVERHEAD, Message


def message(size: int = 0) -> Message:
    """Return a message of so many bytes, and what each is taken to cost."""
    return Message("", "", b"", b"x" * size)


class HoldingTests(SynchronousTestCase):
    """What is counted."""

    def test_message_counts_with_its_header_body_and_place(self) -> None:
        memory = Memory()
        memory.hold(Message("", "", b"header", b"body"))
        self.assertEqual(OVERHEAD + 10, memory.used)

    def test_message_in_many_places_counts_once(self) -> None:
        memory, one = Memory(), message()
        for _ in range(3):
            memory.hold(one)
        self.assertEqual(OVERHEAD, memory.used)

    def test_message_counts_until_the_last_place_lets_it_go(self) -> None:
        memory, one = Memory(), message()
        memory.hold(one)
        memory.hold(one)
        memory.release(one)
        self.assertEqual(OVERHEAD, memory.used)
        memory.release(one)
        self.assertEqual(0, memory.used)

    def test_message_that_was_let_go_counts_again(self) -> None:
        memory, one = Memory(), message()
        memory.hold(one)
        memory.release(one)
        memory.hold(one)
        self.assertEqual(OVERHEAD, memory.used)

    def test_limit_is_named(self) -> None:
        self.assertEqual(MAX_MEMORY, Memory().limit)


class AlarmTests(SynchronousTestCase):
    """A limit of ten messages."""

    def setUp(self) -> None:
        self.memory = Memory(10 * OVERHEAD)
        self.alarms: list[bool] = []
        self.memory.on_alarm = self.alarms.append
        self.held = [message() for _ in range(11)]

    def fill(self) -> None:
        """Hold more than the limit."""
        for each in self.held:
            self.memory.hold(each)

    def test_at_the_limit_there_is_no_alarm(self) -> None:
        for each in self.held[:10]:
            self.memory.hold(each)
        self.assertEqual(([], False), (self.alarms, self.memory.alarm))

    def test_above_the_limit_there_is_an_alarm_once(self) -> None:
        self.fill()
        self.memory.hold(message())
        self.assertEqual(([True], True), (self.alarms, self.memory.alarm))

    def test_alarm_stays_until_it_is_clearly_less(self) -> None:
        self.fill()
        for each in self.held[:2]:
            self.memory.release(each)
        self.assertEqual(9 * OVERHEAD, self.memory.used)
        self.assertEqual(([True], True), (self.alarms, self.memory.alarm))

    def test_alarm_ends_when_it_is_clearly_less(self) -> None:
        self.fill()
        for each in self.held[:3]:
            self.memory.release(each)
        self.assertEqual(([True, False], False), (self.alarms, self.memory.alarm))

    def test_alarm_comes_again(self) -> None:
        self.fill()
        for each in self.held:
            self.memory.release(each)
        self.fill()
        self.assertEqual([True, False, True], self.alarms)

    def test_without_anybody_to_tell_the_alarm_is_there(self) -> None:
        memory = Memory(0)
        memory.hold(message())
        self.assertTrue(memory.alarm)
