"""What the commands' options share: one line and exit status 1 for a mistake, and endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python import usage

from netdemo.coercion import number_from_0, positive_integer
from netdemo.listening import GRACE, check_endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    """Options of a server: ``--listen``, any number of times, and limits for its connections."""

    optParameters: list[list[Any]] = [
        [
            "max-connections",
            None,
            None,
            "Refuse connections over this many [default: no limit]",
            positive_integer("--max-connections"),
        ],
        [
            "grace",
            None,
            GRACE,
            "Seconds that connections have to end when the service stops",
            number_from_0("--grace"),
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
