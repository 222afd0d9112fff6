"""Values of options in text: what they are, or one line that says what was expected."""

from __future__ import annotations

from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING

from twisted.python import usage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def positive_number(option: str) -> Callable[[str], float]:
    """Coerce the value of ``option`` to a number of more than 0, seconds for example."""
    return _number(option, lambda number: number > 0, "of more than 0")


def number_from_0(option: str) -> Callable[[str], float]:
    """Coerce the value of ``option`` to a number of at least 0, seconds for example."""
    return _number(option, lambda number: number >= 0, "of at least 0")


def _number(option: str, fits: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    def coerce(text: str) -> float:
        with suppress(ValueError):
            if isfinite(number := float(text)) and fits(number):
                return number
        raise usage.UsageError(f"bad {option} {text!r}: expected a number {expected}")

    return coerce


def positive_integer(option: str, maximum: int | None = None) -> Callable[[str], int]:
    """Coerce the value of ``option`` to a whole number from 1 to ``maximum``, if there is one."""

    def coerce(text: str) -> int:
        with suppress(ValueError):
            if (number := int(text)) >= 1 and (maximum is None or number <= maximum):
                return number
        expected = "of at least 1" if maximum is None else f"from 1 to {maximum}"
        raise usage.UsageError(f"bad {option} {text!r}: expected a whole number {expected}")

    return coerce


def one_of(option: str, values: Collection[str]) -> Callable[[str], str]:
    """Coerce the value of ``option`` to one of ``values``."""

    def coerce(text: str) -> str:
        if text not in values:
            raise usage.UsageError(f"bad {option} {text!r}: expected {_alternatives(values)}")
        return text

    return coerce


def _alternatives(values: Collection[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}"
