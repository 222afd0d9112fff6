"""`netdemo.amqp.acknowledgements`: as few acks as the order allows, for what is done."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.acknowledgements import Acknowledgements


class TakeTests(SynchronousTestCase):
    """What is sent for what is done."""

    def setUp(self) -> None:
        self.acknowledgements = Acknowledgements()
        for tag in range(1, 6):
            self.acknowledgements.delivered(tag)

    def acks(self, *done: int) -> list[tuple[int, bool]]:
        """Return the acks for what is `done`."""
        for tag in done:
            self.acknowledgements.done(tag)
        return self.acknowledgements.take()

    def test_all_in_order_is_one(self) -> None:
        self.assertEqual(self.acks(1, 2, 3, 4, 5), [(5, True)])

    def test_a_single_one_is_not_multiple(self) -> None:
        self.assertEqual(self.acks(1), [(1, False)])

    def test_nothing_done_is_nothing(self) -> None:
        self.assertEqual(self.acks(), [])

    def test_those_after_a_gap_are_alone_and_the_gap_is_covered_later(self) -> None:
        self.assertEqual(self.acks(5, 2, 1, 4), [(2, True), (4, False), (5, False)])
        self.assertEqual(self.acks(3), [(3, False)])

    def test_refused_ones_are_no_gap(self) -> None:
        self.acknowledgements.answered(2)
        self.assertEqual(self.acks(1, 3), [(3, True)])

    def test_refused_after_all_it_is_not_acknowledged(self) -> None:
        for tag in (1, 2):
            self.acknowledgements.done(tag)
            self.acknowledgements.answered(tag)
        self.assertEqual(self.acks(3), [(3, False)])

    def test_unknown_ones_are_nothing(self) -> None:
        self.assertEqual(self.acks(0, 9), [])
        self.assertEqual(self.acks(1), [(1, False)])
        self.assertEqual(self.acks(1), [])


class Broker(RuleBasedStateMachine):
    """A broker that keeps what it waits for, beside what was really done."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledgements = Acknowledgements()
        self.waits_for: set[int] = set()
        self.in_hand: set[int] = set()
        self.last = 0

    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        for _ in range(count):
            self.last += 1
            self.waits_for.add(self.last)
            self.in_hand.add(self.last)
            self.acknowledgements.delivered(self.last)

    @precondition(lambda self: self.in_hand)
    @rule(choice=st.integers(0, 99))
    def finish(self, choice: int) -> None:
        tag = sorted(self.in_hand)[choice % len(self.in_hand)]
        self.in_hand.remove(tag)
        self.acknowledgements.done(tag)

    @precondition(lambda self: self.in_hand)
    @rule(choice=st.integers(0, 99))
    def refuse(self, choice: int) -> None:
        tag = sorted(self.in_hand)[choice % len(self.in_hand)]
        self.in_hand.remove(tag)
        self.waits_for.remove(tag)
        self.acknowledgements.answered(tag)

    @rule()
    def send(self) -> None:
        for tag, multiple in self.acknowledgements.take():
            covered = {each for each in self.waits_for if each == tag or (multiple and each < tag)}
            assert tag in covered  # else RabbitMQ closes the channel: unknown delivery tag
            self.waits_for -= covered
        assert self.waits_for == self.in_hand

    @invariant()
    def keeps_no_more_than_the_broker(self) -> None:
        assert len(self.acknowledgements._unanswered) <= len(self.waits_for)


BrokerTests = Broker.TestCase
BrokerTests.settings = settings(deadline=None)
