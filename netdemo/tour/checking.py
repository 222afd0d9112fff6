"""Looking whether what a stop of the tour shows is so."""

from __future__ import annotations

from netdemo.errors import NotHeld


def expect(what: str, seen: object, expected: object) -> None:
    """Go on if it is as ``expected``.

    :raises NotHeld: if not, with both.
    """
    if seen != expected:
        raise NotHeld(f"{what}: expected {expected!r}, saw {seen!r}")
