"""Publishing with so many under way, for the peers on Twisted: each that is confirmed, the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from benchmarks.peers.turn import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure


def publish_all(publish: Callable[[bytes], Deferred[Any]], bodies: list[bytes]) -> Deferred[int]:
    """Give `bodies` to `publish`, and fire with their number when it has confirmed each."""
    done: Deferred[int] = Deferred()
    left = iter(bodies)
    confirmed = 0

    def next_one() -> None:
        body = next(left, None)
        if body is not None:
            publish(body).addCallbacks(was_confirmed, failed)

    def was_confirmed(_: object) -> None:
        nonlocal confirmed
        confirmed += 1
        if confirmed == len(bodies):
            done.callback(confirmed)
        else:
            next_one()

    def failed(failure: Failure) -> None:
        if not done.called:
            done.errback(failure)

    for _ in range(IN_FLIGHT):
        next_one()
    return done
