"""Twisted's own tests of reactors: on the eager one each ends as on the stock epoll reactor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
STOCK = "twisted.internet.epollreactor.EPollReactor"
EAGER = "netdemo.reactor.EagerReactor"
LIMIT = 600
"""Seconds for all of them; they take some 40."""
MANY = 1000
"""Fewer would mean that they were not found."""


class SuiteTests(SynchronousTestCase):
    """Both reactors at a time, each in a process of its own."""

    def test_each_test_ends_as_on_the_stock_reactor(self) -> None:
        running = {
            reactor: subprocess.Popen(
                [sys.executable, "-m", "tests.twisted_suite", reactor],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the tests log what they provoke
                text=True,
            )
            for reactor in (STOCK, EAGER)
        }
        outcomes = {}
        try:
            for reactor, process in running.items():
                # Some of the tests print, too.
                outcomes[reactor] = json.loads(
                    process.communicate(timeout=LIMIT)[0].splitlines()[-1]
                )
        finally:
            for process in running.values():
                process.kill()
                process.communicate()
        stock, eager = outcomes[STOCK], outcomes[EAGER]
        differing = {
            name: (stock.get(name), eager.get(name))
            for name in stock.keys() | eager.keys()
            if stock.get(name) != eager.get(name)
        }
        self.assertEqual(differing, {})
        self.assertGreater(list(stock.values()).count("passed"), MANY)
