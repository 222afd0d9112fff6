"""Visiting a stop: whatever it does, the tour knows what came of it, and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.errors import NotHeld, NotShown
from netdemo.tour import STOPS, Mark, Site, Stop, Visit, visit
from netdemo.tour.visit import MAX_REASON

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    Show = Callable[[Site], Coroutine[Deferred[Any], Any, str]]


class VisitTests(SynchronousTestCase):
    """Stops of each end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.site = Site(self.clock, "amqp://127.0.0.1/", Path(), lambda _: None)
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))

    def begin(self, show: Show) -> Deferred[Visit]:
        """Begin to visit a stop."""
        return Deferred.fromCoroutine(visit(Stop("stop", ("", ""), show), self.site, 5))

    def outcome(self, visiting: Deferred[Visit]) -> tuple[Mark, str]:
        """Return what came of it."""
        visited = self.successResultOf(visiting)
        return visited.mark, visited.seen

    def after(self, error: Exception) -> tuple[Mark, str]:
        """Return what comes of a stop that raises ``error``."""

        async def show(_: Site) -> str:
            raise error

        return self.outcome(self.begin(show))

    def test_what_was_seen_held(self) -> None:
        async def show(_: Site) -> str:
            return "it works"

        self.assertEqual(self.outcome(self.begin(show)), (Mark.HELD, "it works"))

    def test_what_did_not_hold_failed(self) -> None:
        self.assertEqual(self.after(NotHeld("2 came")), (Mark.FAILED, "2 came"))

    def test_what_cannot_be_shown_is_neither(self) -> None:
        self.assertEqual(self.after(NotShown("not here")), (Mark.NOT_SHOWN, "not here"))

    def test_mistake_in_a_stop_is_told_with_its_kind(self) -> None:
        self.assertEqual(self.after(KeyError("x")), (Mark.FAILED, "KeyError: 'x'"))

    def test_mistake_in_what_is_done_together_is_told(self) -> None:
        async def show(_: Site) -> str:
            await gatherResults([Deferred[None](), fail(NotHeld("2 came"))], consumeErrors=True)
            return ""

        self.assertEqual(self.outcome(self.begin(show)), (Mark.FAILED, "2 came"))

    def test_reason_is_one_line_of_bounded_length(self) -> None:
        mark, seen = self.after(NotHeld("a\nb\x1b[31m " + "c" * 1000))
        self.assertEqual(mark, Mark.FAILED)
        self.assertTrue(seen.startswith("a b [31m cc"), seen)
        self.assertEqual(len(seen), MAX_REASON + len("..."))

    def test_stop_that_never_ends_failed(self) -> None:
        async def show(_: Site) -> str:
            return await Deferred[str]()

        visiting = self.begin(show)
        self.clock.advance(4.9)
        self.assertNoResult(visiting)
        self.clock.advance(0.1)
        self.assertEqual(self.outcome(visiting), (Mark.FAILED, "not done within 5 s"))

    def test_stop_that_makes_another_error_of_its_end_failed_for_the_time(self) -> None:
        async def show(_: Site) -> str:
            await gatherResults([Deferred[None]()], consumeErrors=True)
            return ""

        visiting = self.begin(show)
        self.clock.advance(5)
        self.assertEqual(self.outcome(visiting), (Mark.FAILED, "not done within 5 s"))

    def test_cancelled_it_is_no_outcome_whatever_a_stop_makes_of_that(self) -> None:
        async def fails(_: Site) -> str:
            await gatherResults([Deferred[None]()], consumeErrors=True)
            return ""

        async def goes_on(_: Site) -> str:
            await DeferredList([Deferred[None]()], consumeErrors=True)
            return "all is well"

        for show in (fails, goes_on):
            visiting = self.begin(show)
            visiting.cancel()
            self.failureResultOf(visiting, CancelledError)

    def test_cancelled_it_waits_until_a_stop_has_put_its_things_away(self) -> None:
        away: Deferred[None] = Deferred()

        async def show(_: Site) -> str:
            try:
                return await Deferred[str]()
            finally:
                await away

        visiting = self.begin(show)
        visiting.cancel()
        self.assertNoResult(visiting)
        away.callback(None)
        self.failureResultOf(visiting, CancelledError)


class StopsTests(SynchronousTestCase):
    """What the stops say."""

    def test_each_is_described_in_two_lines_of_a_terminal(self) -> None:
        for stop in STOPS:
            self.assertEqual([], [line for line in stop.lines if not 0 < len(line) <= 76])

    def test_each_has_a_name_of_its_own(self) -> None:
        self.assertEqual(len({stop.name for stop in STOPS}), len(STOPS))
