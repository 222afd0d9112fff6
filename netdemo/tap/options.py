"""What the commands' options share: one line and exit status 1 for a mistake, and coercions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.python import usage

from netdemo.listening import check_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def positive_number(option: str) -> Callable[[str], float]:
    """Coerce the value of `option` to a number of more than 0, seconds for example."""

    def coerce(text: str) -> float:
        with suppress(ValueError):
            if 0 < (number := float(text)) < float("inf"):
                return number
        raise usage.UsageError(f"bad {option} {text!r}: expected a number of more than 0")

    return coerce


def positive_integer(option: str, maximum: int | None = None) -> Callable[[str], int]:
    """Coerce the value of `option` to a whole number from 1 to `maximum`, if there is one."""

    def coerce(text: str) -> int:
        with suppress(ValueError):
            if (number := int(text)) >= 1 and (maximum is None or number <= maximum):
                return number
        expected = "of at least 1" if maximum is None else f"from 1 to {maximum}"
        raise usage.UsageError(f"bad {option} {text!r}: expected a whole number {expected}")

    return coerce


class Options(usage.Options):
    """Options whose mistakes end the process with one line on stderr and exit status 1.

    twistd itself would print its whole help to stdout around the error.
    """

    command = ""
    """The command's name, with which the line starts."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"{self.command}: {error}") from None


class ListeningOptions(Options):
    """Options of a server: ``--listen``, any number of times, and ``--max-connections``."""

    optParameters = [
        [
            "max-connections",
            None,
            None,
            "Refuse connections over this many [default: no limit]",
            positive_integer("--max-connections"),
        ],
    ]

    default_endpoint = ""

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint to listen on, any number of times (default: see the end of this help)"""
        from twisted.internet import reactor

        try:
            self["listen"].append(check_endpoint(endpoint, reactor))
        except ValueError as error:
            raise usage.UsageError(str(error)) from None

    def postOptions(self) -> None:
        self["listen"] = self["listen"] or [self.default_endpoint]
        for endpoint in self["listen"]:
            if self["listen"].count(endpoint) > 1:
                raise usage.UsageError(f"the same --listen {endpoint} twice")
