"""`netdemo.amqp.publisher`: any mix of outcomes comes out right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.errors import UnroutableError
from tests.publishing import Publishing


class AttributionTests(SynchronousTestCase):
    """Any mix of outcomes, answered in any legal way, comes out right."""

    @given(
        outcomes=st.lists(st.sampled_from(["ack", "return", "nack"]), max_size=40),
        order=st.randoms(use_true_random=False),
    )
    def test_any_mix_of_outcomes(self, outcomes: list[str], order: object) -> None:
        on = Publishing()
        results: list[str] = [""] * len(outcomes)
        for number in range(len(outcomes)):
            done = on.publish(b"%d" % number)
            done.addCallbacks(
                lambda _, n=number: results.__setitem__(n, "ack"),
                lambda failure, n=number: results.__setitem__(
                    n, "return" if failure.check(UnroutableError) else "nack"
                ),
            )
        for number, outcome in enumerate(outcomes):
            if outcome == "return":
                on.give_back(b"%d" % number)
        for first, last, acked in _runs(outcomes, order):
            answer = on.ack if acked else on.nack
            if first == last:
                answer(first + 1)
            else:
                answer(last + 1, multiple=True)
        self.assertEqual(results, outcomes)


def _runs(outcomes: list[str], order: object) -> list[tuple[int, int, bool]]:
    """Split into runs of one kind of answer, some of them cut in two."""
    runs: list[tuple[int, int, bool]] = []
    for number, outcome in enumerate(outcomes):
        acked = outcome != "nack"
        if runs and runs[-1][2] is acked and order.random() < 0.7:  # type: ignore[attr-defined]
            runs[-1] = (runs[-1][0], number, acked)
        else:
            runs.append((number, number, acked))
    return runs
