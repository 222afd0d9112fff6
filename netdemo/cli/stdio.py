"""Standard input and output for commands that stream.

Twisted's own ``StandardIO`` makes both non-blocking, also for every other program that has the
same terminal, pipe or file, and does not tell why one can't be read or written. These two leave
them as they are: they read once when there is something to read, and write to what has room, to a
terminal through a descriptor of their own.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    IReadDescriptor,
    IWriteDescriptor,
)
from zope.interface import implementer

from netdemo.errors import NetdemoError
from netdemo.pausing import PausingConsumer
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFDSet
    from twisted.python.failure import Failure

READ_SIZE: Final = 64 * 1024
"""Bytes that are read at once."""

MAX_WAITING: Final = 64 * 1024
"""Bytes that wait to be written, above which the producer is paused."""


def check_standard_input(expected: str) -> None:
    """Raise `NetdemoError` unless standard input can be read; ``expected`` is what it is for."""
    if sys.stdin is None:
        raise NetdemoError(f"standard input is closed: expected {expected}")
    try:
        os.read(0, 0)
    except OSError as error:
        raise NetdemoError(f"cannot read standard input: {error.strerror}") from None


def check_standard_output() -> None:
    """Raise `NetdemoError` if standard output is closed."""
    if sys.stdout is None:
        raise NetdemoError("standard output is closed: expected it open")


def standard_output_is_broken() -> bool:
    """Tell whether it is a pipe that nobody reads any more, or a terminal that has gone."""
    output = select.poll()
    output.register(1, 0)  # errors are told in any case
    return bool(output.poll(0))


def silence(descriptor: int) -> None:
    """Lose what is written to ``descriptor``, also by Python, which writes again when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def tell(line: str) -> None:
    """Write ``line`` to standard error; when it can't be, it is lost, and nothing else is."""
    if sys.stderr is None:
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(2)


@implementer(IReadDescriptor, IPushProducer)
class StandardInput:
    """Writes what is read to ``consumer``, and registers as its producer.

    `ended` fires at the end of the input and fails with `NetdemoError` when it can't be read.
    Cancelling it ends the reading.
    """

    def __init__(self, consumer: Any, reactor: IReactorFDSet, descriptor: int = 0) -> None:
        self.ended: Deferred[None] = Deferred(lambda _: self.stopProducing())
        self._consumer = consumer
        self._reactor = reactor
        self._descriptor = descriptor
        consumer.registerProducer(self, True)
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "standard input"

    def doRead(self) -> None:
        try:
            data = os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:  # another program has made it non-blocking, and was faster
            return
        except OSError as error:
            self._end(NetdemoError(f"cannot read standard input: {error.strerror}"))
            return
        if data:
            self._consumer.write(data)
        else:
            self._end()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Take it for the end: the other end of a pipe was closed, and all in it is read."""
        self._end()

    def pauseProducing(self) -> None:
        self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        self._reactor.addReader(self)

    def stopProducing(self) -> None:
        self._reactor.removeReader(self)

    def _end(self, error: NetdemoError | None = None) -> None:
        self.stopProducing()
        self._consumer.unregisterProducer()
        if error is None:
            self.ended.callback(None)
        else:
            self.ended.errback(error)


@implementer(IWriteDescriptor, IConsumer)
class StandardOutput(PausingConsumer):
    """Writes to standard output as fast as it is taken, and pauses its producer meanwhile.

    When it can't be written, the producer is stopped, and `flush` tells why. The descriptor stays
    open and as it is.
    """

    def __init__(self, reactor: IReactorFDSet, descriptor: int = 1) -> None:
        self._reactor = reactor
        self._terminal = _open_terminal(descriptor)
        self._descriptor = descriptor if self._terminal is None else self._terminal
        self._room = select.poll()
        self._room.register(self._descriptor, select.POLLOUT)
        self._waiting = bytearray()
        self._error: NetdemoError | SystemExit | None = None
        self._flushed: Waiters[None] = Waiters()

    def write(self, data: bytes) -> None:
        """Write ``data``, now or when there is room."""
        if self._error is not None:
            return
        if not self._waiting:
            self._reactor.addWriter(self)
        self._waiting += data
        if len(self._waiting) > MAX_WAITING:
            self._pause_producer()

    def flush(self) -> Deferred[None]:
        """Fire when nothing waits, which is at once if there is room for it.

        Fails with `NetdemoError` when it can't be written, and with ``SystemExit`` of status 1 when
        nobody reads it any more.
        """
        if self._waiting:
            self.doWrite()
        return self.when_written()

    def when_written(self) -> Deferred[None]:
        """Fire when nothing waits, without trying at once: what is written meanwhile goes along.

        Fails as `flush` does.
        """
        if self._waiting:
            return self._flushed.wait()
        return succeed(None) if self._error is None else fail(self._error)

    def abort(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        self._reactor.removeWriter(self)

    def close(self) -> None:
        """Drop what waits, and close what was opened."""
        self.abort()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "standard output"

    def doWrite(self) -> None:
        try:
            # Whatever has room, a pipe for example, takes this much without blocking.
            while self._waiting and self._room.poll(0):
                written = os.write(self._descriptor, self._waiting[: select.PIPE_BUF])
                del self._waiting[:written]
        except BlockingIOError:  # a terminal; or another program made it so, and was faster
            return
        except OSError as error:
            reason = f"cannot write standard output: {error.strerror}"
            broken = isinstance(error, BrokenPipeError)
            self._fail(SystemExit(1) if broken else NetdemoError(reason))
            return
        if self._waiting:
            return
        self._reactor.removeWriter(self)
        self._resume_producer()
        self._flushed.callback(None)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Take it for a broken pipe: its reader has gone, and it has no room to try."""
        self._fail(SystemExit(1))

    def _fail(self, error: NetdemoError | SystemExit) -> None:
        self._error = error
        self.abort()
        self._stop_producer()
        self._flushed.errback(error)


def _open_terminal(descriptor: int) -> int | None:
    """Open the terminal that ``descriptor`` is again, so that writing does not block.

    A terminal tells of room when it has some, and then blocks until it has taken all. ``None`` if
    it is none, or may not be opened, which that of another user may not.
    """
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
