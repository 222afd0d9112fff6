"""Poetry: a file, streamed to everyone who connects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import FileSender
from zope.interface import implementer

from netdemo.listening import LimitedFactory, listening_services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from twisted.application.service import MultiService
    from twisted.python.failure import Failure

    from netdemo.transport import IStreamTransport


@implementer(IHalfCloseableProtocol)
class PoetryProtocol(Protocol):
    """Sends the factory's file as fast as the peer takes it, then closes.

    The file is opened for this connection, so a replaced file is read by those who come later.
    What the peer sends is dropped; that it has nothing to say does not end the poem.
    """

    factory: PoetryFactory
    transport: IStreamTransport
    _log = Logger()
    _file: BinaryIO | None = None

    def connectionMade(self) -> None:
        try:
            self._file = self.factory.path.open("rb")
        except OSError as error:
            self._log.error(
                "cannot read {path}: {reason}", path=self.factory.path, reason=error.strerror
            )
            self.transport.loseConnection()
            return
        sending = FileSender().beginFileTransfer(self._file, self.transport)
        # It fails, with a bare Exception, only when the peer leaves, which is no error here.
        sending.addCallbacks(lambda _: self.transport.loseConnection(), lambda _: None)

    def readConnectionLost(self) -> None:
        """Go on sending: the peer has only said that it will say nothing."""

    def writeConnectionLost(self) -> None:
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        if self._file is not None:
            self._file.close()
        self.factory.connection_ended(self)


class PoetryFactory(LimitedFactory):
    """Builds servers of the file at `path`."""

    def __init__(self, path: Path, *, max_connections: int | None = None) -> None:
        super().__init__(max_connections)
        self.path = path

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
    factory = PoetryFactory(path, max_connections=max_connections)
    return listening_services(endpoints, factory, reactor)
