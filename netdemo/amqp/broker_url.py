"""A broker's URL: ``amqp://USER:PASSWORD@HOST:PORT/VHOST?heartbeat=30``, or ``amqps://``."""

from __future__ import annotations

import os
import re
from math import isfinite
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import attrs
from pika.connection import URLParameters
from pika.credentials import ExternalCredentials
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

from netdemo.amqp.tcp_options import TCPOptionsEndpoint, check_tcp_options
from netdemo.amqp.tls import TLS_PARAMETERS, TLSOptions
from netdemo.connecting import is_host_name
from netdemo.errors import BrokerURLError

if TYPE_CHECKING:
    from pika.connection import Parameters
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint

EXPECTED: Final = "amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://..."
DEFAULT_BROKER: Final = "amqp://guest:guest@127.0.0.1:5672/"
BROKER_VARIABLE: Final = "NETDEMO_BROKER"
"""Environment variable with the URL of the broker; unlike an option, no process list shows it."""

PIKA_PARAMETERS: Final = frozenset(
    {
        "blocked_connection_timeout",
        "channel_max",
        "client_properties",
        "connection_attempts",
        "frame_max",
        "heartbeat",
        "locale",
        "retry_delay",
        "socket_timeout",
        "stack_timeout",
        "tcp_options",
    }
)
"""Those of pika's URL parameters that pika reads; ``ssl_options`` is read by `TLSOptions`."""

UNDERSTOOD: Final = PIKA_PARAMETERS | TLS_PARAMETERS | {"auth_mechanism"}
"""Any other parameter is an error, not ignored."""


@attrs.frozen
class BrokerURL:
    """Where a broker is and how to log in. Its text form names neither user nor password.

    The parameters are pika's, and RabbitMQ's own for TLS and EXTERNAL. ``connection_attempts``
    and ``retry_delay`` have no effect: a client never gives up, and has its own delays.
    """

    parameters: Parameters = attrs.field(repr=False)
    connections: IOpenSSLClientConnectionCreator | None = attrs.field(default=None, repr=False)
    """What makes connections of TLS, with ``amqps``."""

    stack_timeout: float | None = attrs.field(default=None, repr=False)
    """Seconds for the whole of connecting, from TCP to an open AMQP connection."""

    @classmethod
    def parse(cls, url: str) -> BrokerURL:
        """Read a URL; what is left out is as in pika: guest, guest, port 5672 or 5671, vhost ``/``.

        Files that it names are read now, those without a path in the current directory.

        :raises BrokerURLError: naming the URL, without its user information and query.
        """
        scheme, separator, rest = url.partition("://")
        try:
            if not separator or scheme.lower() not in ("amqp", "amqps") or not rest:
                raise BrokerURLError(f"expected {EXPECTED}")
            return cls._read(scheme.lower(), rest)
        except BrokerURLError as error:
            raise BrokerURLError(f"bad broker URL {redacted(url)!r}: {error}") from None
        except Exception:  # the texts may quote parts of the password
            raise BrokerURLError(
                f"bad broker URL {redacted(url)!r}: expected {EXPECTED}, "
                "with %40, %2F and so on in the place of special characters"
            ) from None

    @classmethod
    def _read(cls, scheme: str, rest: str) -> BrokerURL:
        query = _query(rest)
        for_pika = {name: text for name, text in query.items() if name in PIKA_PARAMETERS}
        for name, text in for_pika.items():
            _check_value(name, text)
        parameters = URLParameters(f"{scheme}://{rest.partition('?')[0]}?{urlencode(for_pika)}")
        if not is_host_name(parameters.host):
            raise BrokerURLError(
                "its host is not a host name; "
                "expected letters, digits, hyphens and dots, or an address"
            )
        return cls(
            parameters,
            _tls(scheme, query, parameters),
            parameters.stack_timeout if "stack_timeout" in query else None,
        )

    @property
    def tls(self) -> bool:
        """Whether the connection is one of TLS."""
        return self.connections is not None

    def __str__(self) -> str:
        host = f"[{self.parameters.host}]" if ":" in self.parameters.host else self.parameters.host
        vhost = self.parameters.virtual_host.removeprefix("/")
        return f"{'amqps' if self.tls else 'amqp'}://{host}:{self.parameters.port}/{vhost}"

    def endpoint(self, reactor: object) -> IStreamClientEndpoint:
        """Return the TCP endpoint of the broker; with TLS its certificate must name the host."""
        parameters = self.parameters
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            reactor, parameters.host, parameters.port, timeout=parameters.socket_timeout or 30
        )
        if parameters.tcp_options:
            endpoint = TCPOptionsEndpoint(endpoint, parameters.tcp_options)
        if self.connections is None:
            return endpoint
        return wrapClientTLS(self.connections, endpoint)


def named_broker_url() -> str | None:
    """Return what the environment says."""
    return os.environ.get(BROKER_VARIABLE) or None


def default_broker_url() -> str:
    """Return what the environment says, or the broker that a machine has after installing one."""
    return named_broker_url() or DEFAULT_BROKER


def redacted(url: str) -> str:
    """Return ``url`` without user, password and query, also where it is malformed."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    _, at, place = rest.rpartition("@")
    place = re.split("[?#]", place)[0]
    if not at and not re.fullmatch(r"(\[[^]]*]|[^:/]*)(:\d*)?(/.*)?", place):
        place = "***"  # no host and port: it may be a login whose host was forgotten
    return f"{scheme}{separator}{'***@' if at else ''}{place}"


def _query(rest: str) -> dict[str, str]:
    """Return the parameters; refuse what pika would take for something else, or leave out.

    An unescaped special character in a password, for example, ends the host.
    """
    parts = urlsplit(f"//{rest}")
    if "@" in parts.path + parts.query + parts.fragment or "/" in parts.path[1:] or "#" in rest:
        raise ValueError("an unescaped @, / or #")
    unquote(parts.path, errors="strict")
    query: dict[str, str] = {}
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, errors="strict")
    for name, text in pairs if parts.query else ():
        if name not in UNDERSTOOD:
            raise BrokerURLError(
                f"parameter {name!r} is not supported; "
                f"expected one of {', '.join(sorted(UNDERSTOOD))}"
            )
        if name in query or not text:
            raise BrokerURLError(f"expected one value of the parameter {name!r}")
        query[name] = text
    return query


def _check_value(name: str, text: str) -> None:
    try:
        value = getattr(URLParameters(f"amqp://?{urlencode({name: text})}"), name)
        usable = not isinstance(value, float) or isfinite(value)
    except Exception:
        usable = False
    if not usable:
        raise BrokerURLError(f"the value of the parameter {name!r} is not one that it takes")
    if name == "tcp_options":
        check_tcp_options(value)


def _tls(
    scheme: str, query: dict[str, str], parameters: URLParameters
) -> IOpenSSLClientConnectionCreator | None:
    """Read what is only for ``amqps``, and set how to log in."""
    given = {name: text for name, text in query.items() if name not in PIKA_PARAMETERS}
    if scheme == "amqp":
        if given:
            raise BrokerURLError(f"parameter {min(given)!r} is for TLS: expected amqps://")
        return None
    mechanism = given.pop("auth_mechanism", "plain")
    options = TLSOptions.of(given)
    if mechanism == "external":
        if not options.has_certificate:
            raise BrokerURLError("auth_mechanism=external: expected a certfile")
        parameters.credentials = ExternalCredentials()
    elif mechanism != "plain":
        raise BrokerURLError("auth_mechanism: expected plain or external")
    return options.connections(parameters.host)
