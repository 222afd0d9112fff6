"""The tests that look for what is left behind find it."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import fail
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

from tests import tidy


def leave() -> None:
    """Leave a Deferred that failed to the collector of garbage, in a circle of references."""
    failed: Any = fail(ValueError("left"))
    failed.itself = failed


def errors(work: Any) -> int:
    """Return how many errors a tidy test has that does `work`."""

    class Working(tidy.TidyTestCase):
        def runTest(self) -> None:
            work()

    result = TestResult()
    Working().run(result)
    return len(result.errors)


class FindingTests(SynchronousTestCase):
    """Tests of a module of which one has run, or none."""

    def setUp(self) -> None:
        self.patch(tidy, "BEGUN", {__name__})
        gc.disable()
        self.addCleanup(gc.enable)

    def test_what_a_test_has_left_fails_it(self) -> None:
        self.assertEqual(errors(leave), 1)

    def test_one_that_leaves_nothing_passes(self) -> None:
        self.assertEqual(errors(lambda: None), 0)

    def test_what_was_left_before_does_not_fail_it(self) -> None:
        leave()
        self.assertEqual(errors(lambda: None), 0)
        self.assertEqual(self.collected(), 1)

    def test_what_was_left_before_fails_the_first_test_of_a_module(self) -> None:
        tidy.BEGUN.clear()
        leave()
        self.assertEqual(errors(lambda: None), 1)
        self.assertEqual(tidy.BEGUN, {__name__})

    def collected(self) -> int:
        """Return how many errors the collector logs, which are no more then."""
        gc.collect()
        return len(self.flushLoggedErrors(ValueError))
