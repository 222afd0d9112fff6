"""A line of shell that is run for each message: its input, its output, and how it ended."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IProcessTransport
    from twisted.python.failure import Failure

SHELL: Final = "/bin/sh"

NOT_STARTED: Final = (126, 127)
"""Statuses with which a shell says that it can't start a program, or finds none (POSIX, 2.8.2)."""

BY_SIGNAL: Final = range(129, 128 + signal.NSIG)
"""Statuses with which a shell says that a signal has ended what it ran (POSIX, 2.8.2)."""

MAX_ERRORS: Final = 4096
"""Bytes that are kept of the end of a command's standard error."""

_INPUT, _OUTPUT, _ERRORS = 0, 1, 2


class OutputTooLong(NetdemoError):
    """A command wrote more to its standard output than is kept, and was killed."""


@attrs.frozen
class Ended:
    """How a command has ended.

    `status` is its exit status, or the negative number of the signal that ended it; `last_words`
    the last line of its standard error. The latter and `output` are empty if they were not read.
    """

    status: int
    output: bytes = b""
    last_words: str = ""

    @property
    def not_started(self) -> bool:
        """Whether the shell found nothing that it could start."""
        return self.status in NOT_STARTED

    @property
    def by_signal(self) -> bool:
        """Whether a signal has ended the shell, or the last that it ran."""
        return self.status < 0 or self.status in BY_SIGNAL

    def __str__(self) -> str:
        how = f"exit status {self.status}" if self.status >= 0 else _signal_name(-self.status)
        return f"{how}: {self.last_words}" if self.last_words else how


class ShellCommand:
    """Runs ``text`` with ``/bin/sh -c``, as often as is wanted, also several at once.

    With ``max_output``, in bytes, what it writes is read, and more than that ends it; of its
    standard error the end is kept. Without, it writes to our own streams.
    """

    def __init__(self, text: str, reactor: Any, max_output: int | None = None) -> None:
        self._text = text
        self._reactor = reactor
        self._max_output = max_output
        self._running: set[_Running] = set()

    def __str__(self) -> str:
        return repr(self._text)

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    async def check(self) -> None:
        """Raise `NetdemoError` when the shell does not understand the line, without running it."""
        ended = await self._start(("-n", "-c", self._text), b"", os.environb, max_output=0)
        if ended.status != 0:
            raise NetdemoError(f"bad command {self}: {ended}")

    def run(self, data: bytes, variables: Mapping[bytes, bytes]) -> Deferred[Ended]:
        """Run it with ``data`` as its standard input; fire when it has ended and closed its output.

        The ``variables`` are added to its environment. It may leave its input unread. Fails with
        `NetdemoError` when no process can be started, and with `OutputTooLong`. Cancelling it sends
        the shell SIGTERM.
        """
        environment = {**os.environb, **variables}
        return self._start(("-c", self._text), data, environment, self._max_output)

    def stop(self) -> None:
        """Cancel all that run."""
        for running in list(self._running):
            running.ended.cancel()

    def _start(
        self,
        arguments: tuple[str, ...],
        data: bytes,
        environment: Mapping[bytes, bytes],
        max_output: int | None,
    ) -> Deferred[Ended]:
        running = _Running(data, max_output)
        try:
            self._spawn(running, arguments, environment, captured=max_output is not None)
        except OSError as error:
            running.ended.errback(NetdemoError(f"cannot run {self}: {error.strerror}"))
            return running.ended
        self._running.add(running)
        return running.ended.addBoth(self._forget, running)

    def _spawn(
        self,
        running: _Running,
        arguments: tuple[str, ...],
        environment: Mapping[bytes, bytes],
        *,
        captured: bool,
    ) -> None:
        streams: dict[int, int | str] = {_INPUT: "w", _OUTPUT: "r", _ERRORS: "r"}
        nothing = None
        if not captured:
            streams.update({_OUTPUT: 1, _ERRORS: 2})
            if sys.stderr is None:  # its number may be that of a socket of ours
                nothing = streams[_ERRORS] = os.open(os.devnull, os.O_WRONLY)
        try:
            self._reactor.spawnProcess(
                running, SHELL, (SHELL, *arguments), env=environment, childFDs=streams
            )
        finally:
            if nothing is not None:
                os.close(nothing)

    def _forget(self, result: Any, running: _Running) -> Any:
        self._running.discard(running)
        return result


class _Running(ProcessProtocol):
    """One run; `ended` fires with how it ended."""

    transport: IProcessTransport | None

    def __init__(self, data: bytes, max_output: int | None) -> None:
        self.ended: Deferred[Ended] = Deferred(lambda _: self._kill(signal.SIGTERM))
        self._data = data
        self._max_output = max_output or 0
        self._output = bytearray()
        self._errors = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._data)
        self.transport.closeStdin()
        self._data = b""

    def outReceived(self, data: bytes) -> None:
        if self.ended.called:
            return
        self._output += data
        if len(self._output) > self._max_output:
            self._output.clear()
            self._kill(signal.SIGKILL)
            text = f"more than {self._max_output} bytes of output"
            self.ended.errback(OutputTooLong(text))

    def errReceived(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-MAX_ERRORS:]

    def processEnded(self, reason: Failure) -> None:
        if self.ended.called:
            return
        how: Any = reason.value
        status = -how.signal if how.signal else how.exitCode
        self.ended.callback(Ended(status, bytes(self._output), _last_line(self._errors)))

    def _kill(self, number: signal.Signals) -> None:
        """End the shell, and hear no more of it, nor of what it has started."""
        assert self.transport is not None
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(number)
        self.transport.loseConnection()


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
