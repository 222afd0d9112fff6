"""`netdemo.waiters`: many who wait for one event."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import TestCase

from netdemo.waiters import Waiters


class WaitersTests(TestCase):
    """All are fired, whatever the others do."""

    def setUp(self) -> None:
        self.waiters: Waiters[int] = Waiters()

    def test_all_are_fired_once(self) -> None:
        waiting = [self.waiters.wait(), self.waiters.wait()]
        self.waiters.callback(7)
        self.waiters.callback(8)
        self.assertEqual([self.successResultOf(each) for each in waiting], [7, 7])

    def test_all_are_failed(self) -> None:
        waiting = [self.waiters.wait(), self.waiters.wait()]
        self.waiters.errback(ValueError("no"))
        for each in waiting:
            self.failureResultOf(each, ValueError)

    def test_who_comes_while_others_are_fired_waits_for_the_next(self) -> None:
        late = []
        first = self.waiters.wait().addCallback(lambda _: late.append(self.waiters.wait()))
        self.waiters.callback(1)
        self.successResultOf(first)
        self.assertNoResult(late[0])
        self.waiters.callback(2)
        self.assertEqual(self.successResultOf(late[0]), 2)

    def test_cancelled_one_is_forgotten(self) -> None:
        cancelled, other = self.waiters.wait(), self.waiters.wait()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.waiters.callback(7)
        self.assertEqual(self.successResultOf(other), 7)

    def test_one_may_cancel_another_while_they_are_fired(self) -> None:
        first, second = self.waiters.wait(), self.waiters.wait()
        first.addCallback(lambda _: second.cancel())
        self.waiters.callback(7)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
