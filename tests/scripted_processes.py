"""Processes that do what a test says, in place of a reactor that starts real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

    from twisted.internet.protocol import ProcessProtocol


class ScriptedProcess:
    """A process, as its protocol's transport, and what a test does in its place."""

    def __init__(
        self,
        protocol: ProcessProtocol,
        arguments: tuple[str, ...],
        env: Mapping[bytes, bytes],
        streams: Mapping[int, int | str],
    ) -> None:
        self.arguments = arguments
        self.env = env
        self.streams = dict(streams)
        self.stdin = b""
        self.stdin_closed = False
        self.signals: list[signal.Signals] = []
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        self.stdin += data

    def closeStdin(self) -> None:
        self.stdin_closed = True

    def signalProcess(self, number: signal.Signals) -> None:
        self.signals.append(number)

    def loseConnection(self) -> None:
        """Do nothing: a test ends it."""

    def write_output(self, data: bytes) -> None:
        """Write to its standard output."""
        self._protocol.childDataReceived(1, data)

    def write_errors(self, data: bytes) -> None:
        """Write to its standard error."""
        self._protocol.childDataReceived(2, data)

    def end(self, status: int) -> None:
        """End with an exit status, or by a signal, whose number is negative."""
        reason: Exception = ProcessDone(0)
        if status:
            code, number = (None, -status) if status < 0 else (status, None)
            reason = ProcessTerminated(code, number, status)
        self._protocol.processEnded(Failure(reason))


class ScriptedProcesses:
    """A reactor with the time of `clock`, all of whose processes are in `started`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.callLater = self.clock.callLater
        self.started: list[ScriptedProcess] = []
        self.error: OSError | None = None

    @property
    def last(self) -> ScriptedProcess:
        """That which was started last."""
        return self.started[-1]

    def spawnProcess(
        self,
        protocol: ProcessProtocol,
        executable: str,
        args: tuple[str, ...],
        env: Mapping[bytes, bytes],
        childFDs: Mapping[int, int | str],  # noqa: N803
    ) -> None:
        assert executable == args[0]
        if self.error is not None:
            raise self.error
        process = ScriptedProcess(protocol, args, env, childFDs)
        self.started.append(process)
        protocol.makeConnection(process)
