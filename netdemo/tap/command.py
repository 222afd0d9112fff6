"""The top service of a command: what keeps it from starting is one line on stderr."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.logger import Logger

from netdemo.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Command(MultiService):
    """Runs its children; a `StartupError` of theirs ends the process with one line, status 1."""

    _log = Logger()

    command = ""
    """The command's name, with which the line starts."""

    def privilegedStartService(self) -> None:
        with self._reported():
            super().privilegedStartService()

    def startService(self) -> None:
        with self._reported():
            super().startService()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except StartupError as error:
            self._log.error("{error}", error=error)  # as a daemon it has no stderr
            # twistd has put its log in the place of sys.stderr by now.
            print(f"{self.command}: {error}", file=sys.__stderr__)
            error.code = 1
            raise


def command_service(command: str, service: MultiService) -> MultiService:
    """Return a `Command` with the children of `service`, which can be looked up by their names."""
    top = Command()
    top.command = command
    for child in list(service):
        child.disownServiceParent()
        child.setServiceParent(top)
    return top
