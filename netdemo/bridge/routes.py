"""Routes: what the bridge carries from where to where, as frozen values."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar, Final

import attrs

from netdemo.address import EXPECTED, Destination, parse_destination
from netdemo.errors import AddressError

MAX_RECORD: Final = 64 * 1024
"""Bytes of a record that is taken from TCP, unless said otherwise."""

LONGEST_RECORD: Final = 512 * 1024 * 1024
"""The most that may be said: no RabbitMQ takes more (``max_message_size``), and in a spool SQLite
does not take twice as much, where one record that can't be written holds up all others."""

PREFETCH: Final = 100
"""Messages that a pull route has under way to one client, unless said otherwise."""

MAX_PREFETCH: Final = 65535
"""The most that it may have: AMQP has two bytes for it (0-9-1, class basic, method qos)."""

SUBSCRIBER_BUFFER: Final = 1024 * 1024
"""Bytes that wait for a client of a subscribe route before it is dropped, unless said otherwise."""

TIMEOUT: Final = 30.0
"""Seconds that a call, or a served request, waits for its reply, unless said otherwise."""

SERVERS: Final = 4
"""Connections that a serve route keeps to its TCP server, unless said otherwise."""

SPOOL_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes in a spool from which nothing more is read from clients, unless said otherwise."""

FIRST_WORD: Final = "first-word"
"""Says that something is taken from what stands before a record's first white space."""

DEFAULT_FRAMING: Final = "line"

Network = IPv4Network | IPv6Network


@attrs.frozen
class Member:
    """Says that something is taken from the member `name` of a record that is a JSON object."""

    name: str


From = str | Member
"""`FIRST_WORD` or a `Member`."""


@attrs.frozen
class Route:
    """What all routes have: a `destination` in RabbitMQ, and an `endpoint` of TCP or the like."""

    destination: Destination
    endpoint: str
    framing: str = attrs.field(default=DEFAULT_FRAMING, kw_only=True)

    kind: ClassVar[str]

    def __str__(self) -> str:
        return f"{self.kind} {self.destination}@{self.endpoint}"


@attrs.frozen(kw_only=True)
class ClientRoute(Route):
    """What routes have that have TCP clients.

    `max_clients` refuses connections over it; ``None`` is no limit. `idle_timeout` is in seconds;
    ``None`` is for ever. `allow` are the networks whose clients are let in, all if there is none.
    """

    max_clients: int | None = None
    idle_timeout: float | None = None
    allow: tuple[Network, ...] = ()


@attrs.frozen(kw_only=True)
class PushRoute(ClientRoute):
    """Every record from a TCP client at `endpoint` is published to `destination`.

    With `ack` each record is answered with ``OK`` or ``ERR code reason``. A record of more than
    `max_record` bytes ends its connection. The routing key is taken from the record with
    `key_from`, or is the destination's where the record has none, and so are the headers in
    `headers_from`, by their names. `mandatory` is whether a message that no queue takes is an
    error; ``None`` is where the destination is a queue. With `connect` the bridge connects to
    `endpoint`.
    """

    kind = "push"

    ack: bool = False
    max_record: int = MAX_RECORD
    key_from: From | None = None
    headers_from: tuple[tuple[str, From], ...] = ()
    content_type: str | None = None
    persistent: bool = True
    mandatory: bool | None = None
    connect: bool = False


@attrs.frozen(kw_only=True)
class PullRoute(ClientRoute):
    """Each message of `destination` goes to one TCP client at `endpoint`.

    A client is sent at most `prefetch` messages before the first is acknowledged: with `ack` by
    the client, which answers each with ``ACK`` or ``NACK``. What can't be written in the framing
    is kept from the client, or, with `reject_unfit`, rejected. With `connect` the bridge connects
    to `endpoint`.
    """

    kind = "pull"

    ack: bool = False
    prefetch: int = PREFETCH
    reject_unfit: bool = False
    connect: bool = False


@attrs.frozen(kw_only=True)
class SubscribeRoute(ClientRoute):
    """Every TCP client at `endpoint` gets its own copy of each message of `destination`.

    One for whom more than `buffer` bytes wait is dropped.
    """

    kind = "subscribe"

    prefetch: int = PREFETCH
    buffer: int = SUBSCRIBER_BUFFER


@attrs.frozen(kw_only=True)
class CallRoute(ClientRoute):
    """Each record from a TCP client at `endpoint` is a request, answered with its reply.

    One without a reply in `timeout` seconds is answered with ``ERR timeout reason``.
    """

    kind = "call"

    max_record: int = MAX_RECORD
    timeout: float = TIMEOUT


@attrs.frozen(kw_only=True)
class ServeRoute(Route):
    """Each request in `destination` goes to the TCP server at `endpoint`, and its reply back.

    The bridge keeps `servers` connections to it, with one request under way on each. `timeout` is
    in seconds, for a connection and again for the reply. `max_record` bounds the replies.
    """

    kind = "serve"

    max_record: int = MAX_RECORD
    servers: int = SERVERS
    timeout: float = TIMEOUT


ROUTES: Final[dict[str, type[Route]]] = {
    route.kind: route for route in (PushRoute, PullRoute, SubscribeRoute, CallRoute, ServeRoute)
}
"""The routes by their kinds."""


def split_route(text: str) -> tuple[Destination, str]:
    """Read ``DEST@ENDPOINT``; an @ inside a name is written ``%40``.

    :raises AddressError: naming ``text`` and what was expected. The endpoint is not looked into.
    """
    destination, separator, endpoint = text.partition("@")
    if not separator or not endpoint:
        raise AddressError(
            f"bad route {text!r}: expected DEST@ENDPOINT, with DEST one of {EXPECTED}"
        )
    return parse_destination(destination), endpoint
