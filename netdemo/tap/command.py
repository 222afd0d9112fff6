"""The top service of a command: what keeps it from starting is one line on stderr."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.logger import Logger

from netdemo.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.defer import Deferred


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

    def stopService(self) -> Deferred[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        stopping: Deferred[None] = super().stopService()
        return stopping

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
    """Return a `Command` of which ``service`` is the one child."""
    top = Command()
    top.command = command
    service.setServiceParent(top)
    return top
