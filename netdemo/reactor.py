"""A reactor for Linux that tries first and asks epoll second: ``twistd --reactor eager``.

It is Twisted's own epoll reactor but for what it spares each answer of a connection:

- *It writes before it polls.* The stock reactor has epoll tell when a socket can be written to:
  two changes to the kernel's set and a wait, for a socket that nearly always would have taken the
  bytes. Here those that want to write stand in a list, and do so before the next poll (with much
  to write, right after they were called); only what a socket does not take waits for epoll.
  ``write`` itself sends nothing, as ever: all that a protocol writes while it is called leaves in
  one packet, and no error arrives inside ``write``.
- *It reads without ceremony.* That there is something to read, and nothing else, is nearly every
  event there is. The stock reactor makes the log's context anew for each; here a connection keeps
  its own (`LogContext`).

Both are for the connections that it makes, over TCP and unix sockets, and so for TLS over them.
All else (ports, processes, datagrams, an application's own descriptors) is the stock reactor's, as
is every event out of the ordinary.
"""

from __future__ import annotations

import errno
import select
import sys
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if not hasattr(select, "epoll"):
    raise ImportError(f"the eager reactor needs epoll: expected Linux, not {sys.platform}")

from select import EPOLLIN, EPOLLOUT

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST, installReactor
from twisted.python import context, log

if TYPE_CHECKING:
    from collections.abc import Sequence

LEANS_ON: Final = {
    EPollReactor: "_poller _selectables _reads _writes _doReadOrWrite _disconnectSelectable",
    FileDescriptor: "dataBuffer offset producer disconnecting _tempDataBuffer _writeDisconnecting "
    "bufferSize",
    tcp.Connection: "TLS _aborting socket protocol doRead doWrite",
    tcp.Connector: "_makeTransport host port bindAddress",
    unix.Connector: "_makeTransport address checkPID",
    tcp.Port: "transport",
    context.ThreadedContextTracker: "currentContext",
    context.ContextTracker: "contexts",
}
"""All names of Twisted used here that it does not promise to keep, by the class that has them."""

READ_OR_WRITE: Final = EPOLLIN | EPOLLOUT

SEND_LIMIT: Final = 128 * 1024
"""Bytes that a connection sends at once, at most: as many as Twisted lets it."""
SMALL: Final = 4096
"""Bytes of an answer that may wait for the others' to be read, while all are in the caches."""

NOTHING: Final = 0
"""A connection has not asked to write, or is left to epoll."""
ONE_WRITE: Final = 1
"""It asks to send its ``dataBuffer``: that is all that waits, and nobody waits for its end."""
ANYTHING: Final = 2
"""It asks for what its ``doWrite`` finds to do."""


class LogContext(dict[object, object]):
    """The context of the log while the events of a connection are handled, in that `around`.

    It never changes, since a thread that is called meanwhile keeps it.
    """

    def __init__(self, around: dict[str, object], system: str) -> None:
        self.around = around
        super().__init__({log.ILogContext: {**around, "system": system}})


NO_CONTEXT: Final = LogContext({}, "-")
"""What a connection has before its first event."""


class EagerConnection(tcp.Connection):
    """What the connections of this reactor have in common; a part of their classes."""

    reactor: Any

    def __init__(self, *arguments: Any) -> None:
        # Twisted has these on its classes until they change, where they are found more slowly.
        self.dataBuffer = b""
        self.offset = 0
        self.producer = None
        self.TLS = self.disconnecting = self._writeDisconnecting = self._aborting = False
        self.asked = NOTHING
        self.was_reset = False
        self.log_context = NO_CONTEXT
        self.bufferSize = self.bufferSize
        super().__init__(*arguments)

    def write(self, data: bytes) -> None:
        """Write ``data``; the first write of a turn, mostly the only one, goes a shorter way."""
        if (
            type(data) is bytes
            and data
            and self.asked == NOTHING
            and self.connected
            and self.producer is None
            and not (self.dataBuffer or self._tempDataBuffer)
            and not (self.disconnecting or self._writeDisconnecting)
            and not (self.TLS or self._aborting)
        ):
            self.dataBuffer = data
            self.asked = ONE_WRITE
            self.reactor.unsent.append(self)
        else:
            super().write(data)

    def send_one_write(self) -> bool:
        """Send ``dataBuffer``; return whether that was all. If not, ``doWrite`` goes on."""
        size = len(self.dataBuffer)
        if size > SEND_LIMIT or self.producer is not None:
            return False
        try:
            sent = self.socket.send(self.dataBuffer)
        except OSError as error:
            self.failed_to_send(error)
            return False
        if sent < size:
            self.offset = sent
            return False
        self.dataBuffer = b""
        self.asked = NOTHING
        return True

    def failed_to_send(self, error: OSError) -> None:
        """Keep what the kernel tells once: after that, a reset looks to a reader like an end.

        After an end that the peer has sent, it is no reset that is told but a broken pipe.
        """
        if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EPIPE):
            self.was_reset = True


class EagerTCPConnection(EagerConnection):
    """The same over TCP."""

    def doRead(self) -> Any:
        """Read once, at most ``bufferSize`` bytes; return why the connection has ended, if so."""
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_LOST if self.was_reset else CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def writeSomeData(self, data: Any) -> Any:
        """Send what the socket takes; return how many bytes, or why the connection has ended."""
        try:
            return self.socket.send(memoryview(data)[:SEND_LIMIT])
        except OSError as error:
            self.failed_to_send(error)
            return 0 if error.errno in (errno.EAGAIN, errno.ENOBUFS) else CONNECTION_LOST


class EagerServer(EagerTCPConnection, tcp.Server):
    """A connection to a port."""


class EagerClient(EagerTCPConnection, tcp.Client):
    """A connection that was made from here."""


class EagerUNIXServer(EagerConnection, unix.Server):
    """A connection to a port that is a unix socket; it can carry descriptors."""


class EagerUNIXClient(EagerConnection, unix.Client):
    """A connection to a unix socket that was made from here."""


class EagerConnector(tcp.Connector):
    """Makes `EagerClient` connections."""

    def _makeTransport(self) -> EagerClient:
        return EagerClient(self.host, self.port, self.bindAddress, self, self.reactor)


class EagerUNIXConnector(unix.Connector):
    """Makes `EagerUNIXClient` connections."""

    def _makeTransport(self) -> EagerUNIXClient:  # type: ignore[override]  # so is its base's
        return EagerUNIXClient(self.address, self, self.reactor, self.checkPID)


class EagerReactor(EPollReactor):
    """Twisted's epoll reactor, whose connections write before they are polled for."""

    def __init__(self) -> None:
        self.unsent: deque[EagerConnection] = deque()
        """Those that may have `asked` to write, in the order in which they did."""
        self._writing: object = None
        """Whom epoll has told of: if that wants to write on, its socket is full."""
        super().__init__()

    # What makes connections.

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        listening = super().listenTCP(port, factory, backlog, interface)
        listening.transport = EagerServer
        return listening

    def listenUNIX(
        self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0
    ) -> Any:
        listening = super().listenUNIX(address, factory, backlog, mode, wantPID)
        listening.transport = EagerUNIXServer
        return listening

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> Any:
        listening = super().adoptStreamPort(fileDescriptor, addressFamily, factory)
        unix_port = isinstance(listening, unix.Port)
        listening.transport = EagerUNIXServer if unix_port else EagerServer
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        connector = EagerConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def connectUNIX(
        self, address: Any, factory: Any, timeout: float = 30, checkPID: Any = 0
    ) -> Any:
        connector = EagerUNIXConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    # Who writes.

    def addWriter(self, writer: Any) -> None:
        """Let a connection write before the next poll, and all else when epoll says so."""
        if (
            isinstance(writer, EagerConnection)
            and writer.connected
            and writer is not self._writing
            and writer.fileno() not in self._writes
        ):
            if writer.asked == NOTHING:
                self.unsent.append(writer)
            writer.asked = ANYTHING
        else:
            super().addWriter(writer)

    def removeWriter(self, writer: Any) -> None:
        if isinstance(writer, EagerConnection):
            writer.asked = NOTHING
        super().removeWriter(writer)

    def getWriters(self) -> list[Any]:
        return [*super().getWriters(), *self._asking()]

    def removeAll(self) -> list[Any]:
        asking = self._asking()
        for connection in asking:
            connection.asked = NOTHING
        removed = super().removeAll()
        return [*removed, *(each for each in asking if each not in removed)]

    def _asking(self) -> Sequence[EagerConnection]:
        return list(dict.fromkeys(each for each in self.unsent if each.asked != NOTHING))

    def _write_unsent(self) -> bool:
        """Let all write that have asked; return whether an application may have been called.

        If so it may have set a timer, stopped the reactor or written: who asks meanwhile has to
        wait until after the poll, which must not wait. It may also have removed all, turned the
        reactor or been interrupted: so those who are yet to write stay where they are found.
        """
        called = False
        unsent = self.unsent
        for _ in range(len(unsent)):
            if not unsent:
                break
            connection = unsent.popleft()
            if connection.asked != NOTHING and self._write(connection):
                called = True
        return called

    def _write(self, connection: EagerConnection) -> bool:
        """Let one write that has asked; return whether the application may have been called."""
        if connection.asked == ONE_WRITE and connection.send_one_write():
            return False
        log.callWithLogger(connection, self._write_ahead, connection)
        return True

    def _write_ahead(self, connection: EagerConnection) -> None:
        """Let a connection write, and leave to epoll what its socket does not take."""
        try:
            why = connection.doWrite()
        except BaseException as error:  # of a producer: it ends the connection, as any does
            log.err()
            why = error
        if why is CONNECTION_LOST:
            # What the peer has sent before comes first. The stock reactor reads, then fails to
            # write; this lets it.
            connection.asked = NOTHING
            super().addWriter(connection)
        elif why:
            self._disconnectSelectable(connection, why, False)
        elif connection.asked != NOTHING:
            connection.asked = NOTHING
            super().addWriter(connection)

    # The turn.

    def doPoll(self, timeout: float | None) -> None:
        """Write, wait at most ``timeout`` seconds for events, and handle them."""
        if self.unsent and self._write_unsent():
            timeout = 0
        try:
            events = self._poller.poll(-1 if timeout is None else timeout, len(self._selectables))
        except InterruptedError:
            return
        context.call({}, self._handle, events)

    doIteration = doPoll

    def _handle(self, events: list[tuple[int, int]]) -> None:
        """Handle events; what our connections have to read goes the short way."""
        selectables = self._selectables
        around = context.get(log.ILogContext)
        contexts = context.theContextTracker.currentContext().contexts
        for fd, event in events:
            selectable = selectables.get(fd)
            if event & READ_OR_WRITE == EPOLLIN and isinstance(selectable, EagerConnection):
                log_context = selectable.log_context
                if log_context.around is not around:
                    log_context = LogContext(around, selectable.logPrefix())
                    selectable.log_context = log_context
                contexts[-1] = log_context
                try:
                    why = selectable.doRead()
                except BaseException as error:  # of a protocol: logged, and ends its connection
                    log.err()
                    self._disconnect(selectable, error, in_read=False)
                    continue
                if why:
                    self._disconnect(selectable, why, in_read=True)
                elif len(selectable.dataBuffer) > SMALL and selectable.asked == ONE_WRITE:
                    self._write(selectable)
            elif selectable is not None:
                self._writing = selectable
                log.callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)
                self._writing = None

    def _disconnect(self, connection: EagerConnection, why: BaseException, in_read: bool) -> None:
        log.callWithLogger(connection, self._disconnectSelectable, connection, why, in_read)


def missing() -> list[str]:
    """Return those of the names in `LEANS_ON` that this version of Twisted has not."""
    return [
        f"{owner.__module__}.{owner.__name__}.{name}"
        for owner, names in LEANS_ON.items()
        for name in names.split()
        if not (hasattr(owner, name) or _set_by_init(owner, name))
    ]


def _set_by_init(owner: type, name: str) -> bool:
    """Tell whether ``__init__`` of ``owner`` or of a base of it sets the attribute ``name``."""
    inits = (vars(each).get("__init__") for each in owner.__mro__)
    codes = (getattr(init, "__code__", None) for init in inits)
    return any(code is not None and name in code.co_names for code in codes)


def install() -> None:
    """Make it the reactor of this process; the stock epoll reactor where Twisted is too new."""
    gone = missing()
    if gone:
        warnings.warn(
            f"the stock epoll reactor runs in the place of the eager one, which needs what this "
            f"Twisted has not: {', '.join(gone)}",
            RuntimeWarning,
            stacklevel=2,
        )
    installReactor(EPollReactor() if gone else EagerReactor())
