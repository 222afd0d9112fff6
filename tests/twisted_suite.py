"""``python -m tests.twisted_suite REACTOR``: Twisted's own tests of reactors, on one reactor.

REACTOR is the full name of its class. It is the reactor of the process, and the one for which the
suites of `ReactorBuilder` are built. Prints one line of JSON: what became of each test, by name.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib import import_module
from os import chdir
from typing import Any

from twisted.internet.main import installReactor
from twisted.python.reflect import namedAny

MODULES = (
    "twisted.internet.test",
    "twisted.test.test_tcp",
    "twisted.test.test_unix",
    "twisted.test.test_ssl",
    "twisted.test.test_internet",
    "twisted.test.test_application",
    "twisted.test.test_amp",
    "twisted.protocols.test.test_tls",
    "twisted.web.test.test_webclient",
)
"""The suites of reactors, and tests that use the reactor of the process."""
SLOW = 20.0
"""Seconds after which a test, even when it has passed, must have waited for a timeout."""


def outcomes(reactor: str) -> dict[str, str]:
    """Run all; return what became of each: "passed", say, or "failed slowly"."""
    factory = namedAny(reactor)
    factory.__name__ = "EPollReactor"  # whatever uses epoll is known to a test by this name
    installReactor(factory())
    # These import the reactor.
    from twisted.internet.test.reactormixins import ReactorBuilder
    from twisted.trial.reporter import TestResult
    from twisted.trial.runner import TestLoader, TrialSuite

    class Outcomes(TestResult):
        """Keeps what became of each test."""

        def __init__(self) -> None:
            super().__init__()
            self.all: dict[str, str] = {}

        def startTest(self, test: Any) -> None:
            super().startTest(test)
            self.started = time.monotonic()

        def keep(self, test: Any, outcome: str) -> None:
            """Keep the first that is heard of `test`: it may fail and then not be clean, too."""
            name = test.id().replace(f"_{reactor.rpartition('.')[2]}Tests", "_")
            slow = time.monotonic() - self.started > SLOW
            self.all.setdefault(name, f"{outcome} slowly" if slow else outcome)

        def addSuccess(self, test: Any) -> None:
            super().addSuccess(test)
            self.keep(test, "passed")

        def addSkip(self, test: Any, reason: Any) -> None:
            super().addSkip(test, reason)
            self.keep(test, "skipped")

        def addExpectedFailure(self, test: Any, failure: Any, todo: Any = None) -> None:
            super().addExpectedFailure(test, failure, todo)
            self.keep(test, "failed as expected")

        def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
            super().addUnexpectedSuccess(test, todo)
            self.keep(test, "passed unexpectedly")

        def addFailure(self, test: Any, failure: Any) -> None:
            super().addFailure(test, failure)
            self.keep(test, "failed")
            print(test.id(), failure, file=sys.stderr)

        def addError(self, test: Any, error: Any) -> None:
            super().addError(test, error)
            self.keep(test, "broke")
            print(test.id(), error, file=sys.stderr)

    ReactorBuilder._reactors = [reactor]
    found = Outcomes()
    loader = TestLoader()
    for module in MODULES:
        try:
            tests = loader.loadAnything(import_module(module), recurse=True)
        except AttributeError:  # a newer pyOpenSSL has not all that a test of TLS uses
            found.all[module] = "not imported"
        else:
            TrialSuite([tests]).run(found)
    return found.all


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        chdir(folder)  # the tests write files where they are
        print(json.dumps(outcomes(sys.argv[1])))
        chdir("/")
