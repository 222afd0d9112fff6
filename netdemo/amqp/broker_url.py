"""A broker's URL: ``amqp://USER:PASSWORD@HOST:PORT/VHOST?heartbeat=30``, or ``amqps://``."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
from pika.connection import URLParameters
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS

from netdemo.connecting import is_host_name
from netdemo.errors import BrokerURLError

if TYPE_CHECKING:
    from pika.connection import Parameters
    from twisted.internet.interfaces import IStreamClientEndpoint

EXPECTED: Final = "amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://..."
DEFAULT_BROKER: Final = "amqp://guest:guest@127.0.0.1:5672/"
BROKER_VARIABLE: Final = "NETDEMO_BROKER"
"""Environment variable with the URL of the broker; unlike an option, no process list shows it."""

UNDERSTOOD: Final = frozenset(
    {
        "blocked_connection_timeout",
        "channel_max",
        "client_properties",
        "frame_max",
        "heartbeat",
        "locale",
        "socket_timeout",
    }
)
"""Those of pika's URL parameters that mean something here; any other is an error, not ignored."""


@attrs.frozen
class BrokerURL:
    """Where a broker is and how to log in. Its text form names neither user nor password."""

    tls: bool
    parameters: Parameters = attrs.field(repr=False)

    @classmethod
    def parse(cls, url: str) -> BrokerURL:
        """Read a URL; what is left out is as in pika: guest, guest, port 5672 or 5671, vhost ``/``.

        :raises BrokerURLError: naming the URL, without its user information and query.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.lower() not in ("amqp", "amqps") or not rest:
            raise BrokerURLError(f"bad broker URL {redacted(url)!r}: expected {EXPECTED}")
        try:
            _check(rest)
            parameters = URLParameters(url)
        except Exception:  # the texts may quote parts of the password
            raise BrokerURLError(
                f"bad broker URL {redacted(url)!r}: expected {EXPECTED}, "
                "with %40, %2F and so on in the place of special characters"
            ) from None
        if not is_host_name(parameters.host):
            raise BrokerURLError(
                f"bad broker URL {redacted(url)!r}: its host is not a host name; "
                "expected letters, digits, hyphens and dots, or an address"
            )
        unknown = set(parameters._all_url_query_values or ()) - UNDERSTOOD
        if unknown:
            raise BrokerURLError(
                f"bad broker URL {redacted(url)!r}: parameter {min(unknown)!r} is not supported; "
                f"expected one of {', '.join(sorted(UNDERSTOOD))}"
            )
        return cls(scheme.lower() == "amqps", parameters)

    def __str__(self) -> str:
        host = f"[{self.parameters.host}]" if ":" in self.parameters.host else self.parameters.host
        vhost = self.parameters.virtual_host.removeprefix("/")
        return f"{'amqps' if self.tls else 'amqp'}://{host}:{self.parameters.port}/{vhost}"

    def endpoint(self, reactor: object) -> IStreamClientEndpoint:
        """Return the TCP endpoint of the broker; with TLS its certificate must name the host."""
        parameters = self.parameters
        endpoint = HostnameEndpoint(
            reactor, parameters.host, parameters.port, timeout=parameters.socket_timeout or 30
        )
        if not self.tls:
            return endpoint
        return wrapClientTLS(optionsForClientTLS(parameters.host), endpoint)


def default_broker_url() -> str:
    """Return what the environment says, or the broker that a machine has after installing one."""
    return os.environ.get(BROKER_VARIABLE) or DEFAULT_BROKER


def redacted(url: str) -> str:
    """Return `url` without user, password and query, also where it is malformed."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    _, at, place = rest.rpartition("@")
    place = re.split("[?#]", place)[0]
    if not at and not re.fullmatch(r"(\[[^]]*]|[^:/]*)(:\d*)?(/.*)?", place):
        place = "***"  # no host and port: it may be a login whose host was forgotten
    return f"{scheme}{separator}{'***@' if at else ''}{place}"


def _check(rest: str) -> None:
    """Refuse what pika would take for something else, or leave out.

    An unescaped special character in a password, for example, ends the host.
    """
    parts = urlsplit(f"//{rest}")
    if "@" in parts.path + parts.query + parts.fragment or "/" in parts.path[1:] or "#" in rest:
        raise ValueError("an unescaped @, / or #")
    unquote(parts.path, errors="strict")
    if parts.query:
        parse_qsl(parts.query, strict_parsing=True)
