"""The poetry server."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import FileSender
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from netdemo.listening import LimitedFactory, listening_services
from netdemo.transport import end_writing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from twisted.application.service import MultiService
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport

LINGER: Final = 5.0
"""Seconds of silence that a peer has to close after the poem, before it is closed here."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without waiting, as a pipe in its place would have us do.

    :raises OSError: with a `strerror` for people.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "expected a regular file", str(path))
    return os.fdopen(descriptor, "rb")


class PoemSender(FileSender):
    """A `FileSender` that fails, and lets go of its consumer, when the file can't be read."""

    def resumeProducing(self) -> None:
        try:
            super().resumeProducing()
        except OSError as error:
            self.consumer.unregisterProducer()
            deferred, self.deferred = self.deferred, None
            if deferred is not None:
                deferred.errback(error)


@implementer(IHalfCloseableProtocol)
class PoetryProtocol(Protocol, TimeoutMixin):
    """Sends the factory's file as fast as the peer takes it, then closes.

    The file is opened for this connection, so a replaced file is read by those who come later.
    What the peer sends is dropped; that it has nothing to say does not end the poem.
    """

    factory: PoetryFactory
    transport: IStreamTransport
    _log = Logger()
    _file: BinaryIO | None = None
    _sent = False
    _peer_ended = False

    def connectionMade(self) -> None:
        self.callLater = self.factory.clock.callLater  # type: ignore[assignment,method-assign]
        try:
            self._file = open_regular(self.factory.path)
        except OSError as error:
            self._unreadable(error)
            self._close()
            return
        sending = PoemSender().beginFileTransfer(self._file, self.transport)
        sending.addCallbacks(lambda _: self._close(), self._broken_off)

    def dataReceived(self, data: bytes) -> None:  # noqa: ARG002
        self.resetTimeout()

    def _close(self) -> None:
        self._sent = True
        self._close_file()
        self.setTimeout(LINGER)
        if self._peer_ended:
            self.transport.loseConnection()
        else:
            end_writing(self.transport)

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def _broken_off(self, reason: Failure) -> None:
        # `FileSender` fails with a bare Exception when the peer leaves, which is no error here.
        if isinstance(reason.value, OSError):
            self._unreadable(reason.value)
            self.transport.abortConnection()

    def _unreadable(self, error: OSError) -> None:
        self._log.error(
            "cannot read {path}: {reason}", path=self.factory.path, reason=error.strerror
        )

    def readConnectionLost(self) -> None:
        """Go on sending: the peer has only said that it will say nothing."""
        self._peer_ended = True
        if self._sent:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: the peer has the end of the poem, and is given time to close."""

    def timeoutConnection(self) -> None:
        """Close first: the peer has not, and has said nothing for a while.

        What it has not read yet is still sent. Under TLS it is TCP that is closed, since TLS
        waits for the peer.
        """
        getattr(self.transport, "transport", self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.setTimeout(None)
        self._close_file()
        self.factory.connection_ended(self)


class PoetryFactory(LimitedFactory):
    """Builds servers of the file at `path`."""

    def __init__(
        self, path: Path, clock: IReactorTime, *, max_connections: int | None = None
    ) -> None:
        super().__init__(max_connections)
        self.path = path
        self.clock = clock

    def new_protocol(self) -> PoetryProtocol:
        return PoetryProtocol()


def poetry_service(
    path: Path,
    endpoints: Sequence[str],
    reactor: Any,
    *,
    max_connections: int | None = None,
) -> MultiService:
    """Stream the file at `path` on each of `endpoints` (Twisted server endpoint strings).

    `max_connections` counts over all endpoints together.
    """
    factory = PoetryFactory(path, reactor, max_connections=max_connections)
    return listening_services(endpoints, factory, reactor)
