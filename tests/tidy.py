"""Tests that leave nothing behind."""

from __future__ import annotations

import gc
from typing import Any

from twisted.trial.unittest import TestCase

BEGUN: set[str] = set()
"""Modules of which a test has run."""


class TidyTestCase(TestCase):
    """A test that fails for a Deferred that failed with nobody to take it.

    Such a Deferred logs its error when it is collected: here at the end of its own test, in which
    trial finds it, and a DelayedCall or a socket left on the reactor besides.

    What was there before the test is not looked at, since that took longer than most tests; but
    the first test of each module finds what those of other modules have left, too.
    """

    def run(self, result: Any = None) -> Any:
        """Run the test; the first cleanup is the last to be called."""
        self.addCleanup(self.tidy)
        module = type(self).__module__
        if module not in BEGUN:
            BEGUN.add(module)
            return super().run(result)
        gc.freeze()
        try:
            return super().run(result)
        finally:
            gc.unfreeze()

    def tidy(self) -> None:
        """Find what the test has left."""
        gc.collect()
