"""Tests that leave nothing behind."""

from __future__ import annotations

import gc
from typing import Any

from twisted.trial.unittest import TestCase


class TidyTestCase(TestCase):
    """A test that fails for a Deferred that failed with nobody to take it.

    Such a Deferred logs its error when it is collected: here at the end of its own test, in which
    trial finds it, and a DelayedCall or a socket left on the reactor besides.
    """

    def run(self, result: Any = None) -> Any:
        """Run the test; the first cleanup is the last to be called."""
        self.addCleanup(self.tidy)
        return super().run(result)

    def tidy(self) -> None:
        """Find what the test has left."""
        gc.collect()
