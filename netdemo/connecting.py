"""Connecting: the address of a server in text, and why it can't be reached, in a few words."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    clientFromString,
)
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS

from netdemo.errors import AddressError
from netdemo.tls import with_host_verification

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocol, IStreamClientEndpoint
    from twisted.internet.protocol import Protocol

EXPECTED: Final = (
    "PORT, HOST:PORT, [IPv6]:PORT or a Twisted client endpoint such as unix:/run/poetry.sock"
)
LOOPBACK: Final = "127.0.0.1"
MAX_PORT: Final = 65535
MAX_UNIX_PATH: Final = 107
"""Bytes that Linux takes as the path of a socket."""

ENDPOINT_TYPES: Final = frozenset({"haproxy", "ssl", "systemd", "tcp", "tcp6", "tls", "unix"})
"""No hosts: ``tcp:9000`` is a server's endpoint, out of habit, and ``unix:9000`` a socket."""

_PLACE: Final = re.compile(r"((?P<host>[^][:=\s]+|\[(?P<ipv6>[^][\s]+)\]):)?(?P<port>[0-9]{1,5})")


def split_host_and_port(text: str) -> tuple[str, int] | None:
    """Read ``PORT`` (of the loopback), ``HOST:PORT`` or ``[IPv6]:PORT``; ``None`` if it is none.

    The host is not checked.
    """
    place = _PLACE.fullmatch(text)
    if place is None or not 1 <= int(place["port"]) <= MAX_PORT:
        return None
    if place["host"] in ENDPOINT_TYPES:
        return None
    if place["ipv6"] is not None and not isIPv6Address(place["ipv6"]):
        return None
    return place["ipv6"] or place["host"] or LOOPBACK, int(place["port"])


def client_endpoint(address: str, reactor: Any) -> IStreamClientEndpoint:
    """Return the endpoint of the server at ``address``; nothing is connected yet.

    :raises AddressError: naming ``address`` and what was expected.
    """
    place = split_host_and_port(address)
    if place is None:
        return _endpoint_from_string(address, reactor)
    host, port = place
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port)
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port)
    if not is_host_name(host):
        raise AddressError(f"bad address {address!r}: {host!r} is not a host name")
    return HostnameEndpoint(reactor, host, port)


def _endpoint_from_string(address: str, reactor: Any) -> IStreamClientEndpoint:
    try:
        endpoint = with_host_verification(clientFromString(reactor, address))
    except Exception as error:  # each endpoint parser raises what its parsing happens to raise
        expected = _missing(error) or f"expected {EXPECTED}"
        raise AddressError(f"bad address {address!r}: {expected}") from error
    _check_limits(endpoint, address)
    return endpoint


def _missing(error: Exception) -> str | None:
    """Name the certificate's file, or the directory of them, that ``error`` says can't be read."""
    match getattr(error, "originalException", error):  # Twisted's of a directory wraps another
        case OSError(filename=str(name), strerror=str(reason)):
            return f"{name}: {reason}"
    return None


def _check_limits(endpoint: Any, address: str) -> None:
    """Refuse what the parsers take and the system does not: Twisted would wait for it for ever."""
    endpoint = getattr(endpoint, "_wrappedEndpoint", endpoint)
    port = getattr(endpoint, "_port", MAX_PORT)
    if not 1 <= port <= MAX_PORT:
        raise AddressError(f"bad address {address!r}: expected a port from 1 to {MAX_PORT}")
    if isinstance(endpoint, UNIXClientEndpoint):
        length = len(os.fsencode(endpoint._path))
        if not length:
            raise AddressError(f"bad address {address!r}: expected a path")
        if length > MAX_UNIX_PATH:
            raise AddressError(
                f"bad address {address!r}: expected a path of at most {MAX_UNIX_PATH} bytes"
            )


def is_host_name(host: str) -> bool:
    """Tell whether ``host`` can be looked up: a name that IDNA takes, or an address."""
    try:
        optionsForClientTLS(host)
    except Exception:  # of IDNA or of OpenSSL
        return False
    return True


class _OnlyFactory(Factory):
    """Builds ``protocol``, and logs nothing, which that of ``connectProtocol`` does each time."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # noqa: ARG002
        return self._protocol


async def connect(endpoint: IStreamClientEndpoint, protocol: Protocol) -> None:
    """Connect ``protocol`` to ``endpoint``; cancelled at any moment, it raises ``CancelledError``.

    An endpoint that is cancelled fails with ``ConnectingCancelledError``, or, while it looks up a
    name, with ``DNSLookupError``.
    """
    connecting = endpoint.connect(_OnlyFactory(protocol))
    # Without a canceller it is cancelled at once, and takes no notice of how `connecting` fails.
    connected: Deferred[IProtocol] = Deferred()
    connecting.chainDeferred(connected)
    try:
        await connected
    except CancelledError:
        connecting.cancel()
        raise


def connection_reason(error: BaseException) -> str:
    """Say in a few words why a connection was not made, or how it ended."""
    match error:
        case TCPTimedOutError() | TimeoutError() | defer.TimeoutError():
            return "timed out"
        case DNSLookupError():
            return "host name not found"
        case UnknownHostError(args=(str(reason), *_)):  # its osError is getaddrinfo's, no errno
            return reason
        case ConnectError(osError=int(number)):
            return os.strerror(number)
        case ConnectionDone():
            return "closed by the other side"
        case ConnectionAborted():
            return "aborted"
        case ConnectionLost():
            return "lost before its end"
        case SSL.Error(args=([*_, (_, _, str(reason))],)):
            return f"TLS: {_tls_reason(reason)}"
        case SSL.Error(args=() | ([],)):
            return "TLS: no reason given"
        case OSError(strerror=str(reason)):
            return reason
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


def _tls_reason(reason: str) -> str:
    """Return OpenSSL's ``reason`` in words that tell whose it is."""
    _, alert, word = reason.partition(" alert ")  # before it is a version, not that in use
    if alert:
        return f"the other side says: {word}"
    return "the other side does not speak it" if reason == "wrong version number" else reason
