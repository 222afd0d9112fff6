"""Visiting a stop of the tour: it holds, or it does not, and the tour goes on."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
from twisted.internet.defer import CancelledError, Deferred, FirstError

from netdemo.errors import NetdemoError, NotHeld, NotShown

if TYPE_CHECKING:
    from netdemo.tour.site import Site
    from netdemo.tour.stops import Stop

LIMIT: Final = 10.0
"""Seconds that a stop may take, before it is left as one that failed."""

MAX_REASON: Final = 300
"""Characters that are told of why a stop failed."""


class Mark(Enum):
    """What came of a stop."""

    HELD = "held"
    NOT_SHOWN = "not shown"
    FAILED = "failed"


@attrs.frozen
class Visit:
    """A stop that was visited; `seen` is one line: what was seen, or why it failed."""

    stop: Stop
    mark: Mark
    seen: str


async def visit(stop: Stop, site: Site, limit: float = LIMIT) -> Visit:
    """Show ``stop``, for ``limit`` seconds at most, and return what came of it.

    :raises CancelledError: when it is cancelled; what the stop has begun has ended then.
    """
    showing = Deferred.fromCoroutine(stop.show(site))
    showing.addTimeout(limit, site.reactor, _not_done)
    # Without a canceller it is cancelled at once, and a stop can't make another error of that.
    shown: Deferred[str] = Deferred()
    showing.chainDeferred(shown)
    try:
        return Visit(stop, Mark.HELD, await shown)
    except CancelledError:
        showing.cancel()
        await showing
        raise
    except NotShown as reason:
        return Visit(stop, Mark.NOT_SHOWN, _one_line(str(reason)))
    except Exception as error:  # whatever is wrong with it, the others are to be seen
        return Visit(stop, Mark.FAILED, _one_line(_reason(error)))


def _not_done(_: object, limit: float) -> NoReturn:
    """Say so, whatever a stop makes of being cancelled."""
    raise NotHeld(f"not done within {limit:g} s")


def _reason(error: BaseException | None) -> str:
    if isinstance(error, FirstError):  # of what was done together
        return _reason(error.subFailure.value)
    return str(error) if isinstance(error, NetdemoError) else f"{type(error).__name__}: {error}"


def _one_line(text: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(printable.split())
    return line if len(line) <= MAX_REASON else f"{line[:MAX_REASON]}..."
