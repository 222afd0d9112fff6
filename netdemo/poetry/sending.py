"""The ways to send a poem that is not small: by the kernel, piece by piece, and slowly."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import FileSender
from zope.interface import implementer

from netdemo.transport import has_socket

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.internet.tcp import Connection
    from twisted.python.failure import Failure

    from netdemo.poetry.file import PoemFile
    from netdemo.transport import IStreamTransport

CHUNK: Final = 4 * 1024 * 1024
"""Bytes that the kernel copies to one connection before it is another one's turn."""

PIECE: Final = 64 * 1024
"""Bytes that are read at once, where the kernel can't copy by itself."""

PIECES: Final = 10
"""Pieces of a slow poem in a second, where they have at least a byte and at most `PIECE`."""


def send(
    poem: PoemFile, transport: IStreamTransport, clock: IReactorTime, rate: int | None
) -> Deferred[None]:
    """Send ``poem`` in the way that fits the transport, at most ``rate`` bytes a second.

    Fires when the transport has taken all of it. Fails with ``OSError`` when it can't be read, has
    become shorter, or can't be sent, and with ``ConnectionLost`` when the transport ends.
    """
    if rate is not None:
        return SlowSender(poem, transport, clock, rate).begin()
    if sys.platform == "linux" and has_socket(transport):
        return KernelSender(poem, transport).begin()
    sending: Deferred[None] = PieceSender().beginFileTransfer(poem, transport)
    return sending


@implementer(IPullProducer)
class KernelSender:
    """Has Linux copy a file to a socket (``sendfile(2)``), no byte through this process."""

    def __init__(self, poem: PoemFile, transport: Connection) -> None:
        self._poem = poem
        self._transport = transport
        self._done: Deferred[None] = Deferred()

    def begin(self) -> Deferred[None]:
        """Send; fire or fail as `send` does."""
        with suppress(OSError):  # it is a unix socket
            # Every packet is full, wherever a copy ends (``tcp(7)``); the end sends the rest.
            self._transport.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self._transport.registerProducer(self, False)
        return self._done

    def resumeProducing(self) -> None:
        """Hand over as much as the socket takes: the transport asks when there is room."""
        try:
            self._poem.send_to(self._transport.fileno(), CHUNK)
        except BlockingIOError:
            pass
        except OSError as error:
            self._transport.unregisterProducer()
            self._done.errback(error)
            return
        if self._poem.left:
            self._transport.startWriting()
        else:
            self._transport.unregisterProducer()
            self._done.callback(None)

    def stopProducing(self) -> None:
        """Give up: the peer has left."""
        self._done.errback(ConnectionLost())


class PieceSender(FileSender):
    """A ``FileSender`` that fails, and lets go of its consumer, when the file can't be read."""

    CHUNK_SIZE = PIECE
    deferred: Deferred[None] | None

    def resumeProducing(self) -> None:
        try:
            super().resumeProducing()
        except OSError as error:
            self.consumer.unregisterProducer()
            self._fail(error)

    def stopProducing(self) -> None:
        """Give up: the peer has left, which ``FileSender`` would tell with a bare Exception."""
        self._fail(ConnectionLost())

    def _fail(self, error: Exception) -> None:
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(error)


@implementer(IPushProducer)
class SlowSender:
    """Sends a piece at a time, at most ``rate`` bytes a second.

    It does not catch up after a pause, or when the reactor is late: at some 10 MB/s and more it
    falls behind its rate.
    """

    def __init__(
        self, poem: PoemFile, transport: IStreamTransport, clock: IReactorTime, rate: int
    ) -> None:
        self._poem = poem
        self._transport = transport
        self._piece = min(max(rate // PIECES, 1), PIECE)
        self._interval = self._piece / rate
        self._ticking = LoopingCall(self._send_piece)
        self._ticking.clock = clock
        self._done: Deferred[None] = Deferred()

    def begin(self) -> Deferred[None]:
        """Send; fire or fail as `send` does."""
        self._transport.registerProducer(self, True)
        self._tick(now=True)
        return self._done

    def resumeProducing(self) -> None:
        """Go on, after an interval: the rate is a limit."""
        if not self._ticking.running:
            self._tick(now=False)

    def pauseProducing(self) -> None:
        """Wait: the peer does not take even so little."""
        if self._ticking.running:
            self._ticking.stop()

    def stopProducing(self) -> None:
        """Give up: the peer has left."""
        self.pauseProducing()
        self._done.errback(ConnectionLost())

    def _tick(self, now: bool) -> None:
        self._ticking.start(self._interval, now).addErrback(self._failed)

    def _send_piece(self) -> None:
        self._transport.write(self._poem.read(self._piece))
        if not self._poem.left:
            self.pauseProducing()
            self._transport.unregisterProducer()
            self._done.callback(None)

    def _failed(self, failure: Failure) -> None:
        self._transport.unregisterProducer()
        self._done.errback(failure)
