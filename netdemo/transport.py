"""What our protocols ask of the transport under them, and how they end."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, Final, TypeGuard

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.tcp import Connection

MORE_COMES: Final = getattr(socket, "MSG_MORE", 0)
"""Lets the kernel put what is sent and the end into one packet, where it can (``send(2)``)."""


class IStreamTransport(ITCPTransport, IConsumer, IPushProducer):
    """A stream that can be paused, half-closed and aborted, and told who produces for it."""


def end_writing(transport: IStreamTransport) -> None:
    """Say that nothing more comes, and read on until the peer has seen it.

    Closing with bytes unread would reset the connection, and what was written last be lost with
    it. TLS has no half-close: it is closed, and reads on until the peer closes too.
    """
    transport.resumeProducing()
    if ISSLTransport.providedBy(transport):
        transport.loseConnection()
    else:
        transport.loseWriteConnection()


def address_text(address: object) -> str:
    """Return the address of a peer as a line in the log has it."""
    match address:
        case IPv4Address():
            return f"{address.host}:{address.port}"
        case IPv6Address():
            return f"[{address.host}]:{address.port}"
        case UNIXAddress():
            return "unix socket"
    return str(address)


def lowest(transport: Any) -> Any:
    """Return the transport under all others, such as that of TCP under TLS and haproxy."""
    while hasattr(transport, "transport"):
        transport = transport.transport
    return transport


def unacknowledged(transport: object) -> int:
    """Return how many bytes the kernel keeps that the peer has not taken; 0 without a socket."""
    under = lowest(transport)
    if not isinstance(under, Connection):
        return 0
    answer = fcntl.ioctl(under.socket, termios.TIOCOUTQ, struct.pack("i", 0))
    waiting: int = struct.unpack("i", answer)[0]
    return waiting


def has_socket(transport: object) -> TypeGuard[Connection]:
    """Tell whether what is written to ``transport`` is what its socket sends, which TLS is not."""
    return isinstance(transport, Connection) and not transport.TLS


def write_at_once(transport: IStreamTransport, data: bytes) -> None:
    """Write ``data``; a socket takes it at once, if nothing waits, with no turn of the reactor."""
    if has_socket(transport) and not (transport.dataBuffer or transport._tempDataBuffer):
        data = _send(transport.socket, data)
    if data:
        transport.write(data)


def write_and_end(transport: IStreamTransport, data: bytes) -> bool:
    """Write ``data``, the first and the last of a connection, and say that nothing more comes.

    A socket takes both at once, as a rule, in one packet. Returns whether it has: else they wait
    in the transport.
    """
    if has_socket(transport):
        data = _send(transport.socket, data, MORE_COMES)
        if not data:
            with suppress(OSError):  # the peer has gone, which the transport finds out too
                transport.socket.shutdown(socket.SHUT_WR)
            # When both sides have ended, another shutdown is a costly exception for nothing.
            transport._shouldShutdown = False
            return True
    transport.write(data)
    end_writing(transport)
    return False


def _send(to: socket.socket, data: bytes, flags: int = 0) -> bytes:
    """Return what the socket did not take; the transport finds out why."""
    try:
        return data[to.send(data, flags) :]
    except OSError:
        return data
