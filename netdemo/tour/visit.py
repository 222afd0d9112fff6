"""Visiting a stop of the tour: it holds, or it does not, and the tour goes on."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

from netdemo.errors import NetdemoError, NotShown

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

    :raises CancelledError: when the tour is, and not the stop alone.
    """
    showing = Deferred.fromCoroutine(stop.show(site)).addTimeout(limit, site.reactor)
    try:
        return Visit(stop, Mark.HELD, await showing)
    except CancelledError:
        raise
    except NotShown as reason:
        return Visit(stop, Mark.NOT_SHOWN, _one_line(str(reason)))
    except DeferredTimeout:
        return Visit(stop, Mark.FAILED, f"not done within {limit:g} s")
    except NetdemoError as error:
        return Visit(stop, Mark.FAILED, _one_line(str(error)))
    except Exception as error:  # whatever is wrong with it, the others are to be seen
        return Visit(stop, Mark.FAILED, _one_line(f"{type(error).__name__}: {error}"))


def _one_line(text: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(printable.split())
    return line if len(line) <= MAX_REASON else f"{line[:MAX_REASON]}..."
