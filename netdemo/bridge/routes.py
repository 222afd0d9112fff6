"""Routes: what the bridge carries from where to where, as frozen values."""

from __future__ import annotations

from typing import Final

import attrs

from netdemo.address import EXPECTED, Destination, parse_destination
from netdemo.errors import AddressError

MAX_RECORD: Final = 64 * 1024
"""Bytes of a record that a push route takes, unless said otherwise."""

PREFETCH: Final = 100
"""Messages that a pull route has under way to one client, unless said otherwise."""

MAX_PREFETCH: Final = 65535
"""The most that it may have: AMQP has two bytes for it (0-9-1, class basic, method qos)."""


@attrs.frozen
class PushRoute:
    """Every record from a TCP client at `endpoint` is published to `destination`.

    With `ack` each record is answered with ``OK`` or ``ERR code reason``. A record of more than
    `max_record` bytes ends its connection.
    """

    destination: Destination
    endpoint: str
    ack: bool = False
    max_record: int = MAX_RECORD

    def __str__(self) -> str:
        return f"push {self.destination}@{self.endpoint}"


@attrs.frozen
class PullRoute:
    """Each message of `destination` goes to one TCP client at `endpoint`.

    A client is sent at most `prefetch` messages before the first is acknowledged.
    """

    destination: Destination
    endpoint: str
    prefetch: int = PREFETCH

    def __str__(self) -> str:
        return f"pull {self.destination}@{self.endpoint}"


Route = PushRoute | PullRoute


def split_route(text: str) -> tuple[Destination, str]:
    """Read ``DEST@ENDPOINT``; an @ inside a name is written ``%40``.

    :raises AddressError: naming `text` and what was expected. The endpoint is not looked into.
    """
    destination, separator, endpoint = text.partition("@")
    if not separator or not endpoint:
        raise AddressError(
            f"bad route {text!r}: expected DEST@ENDPOINT, with DEST one of {EXPECTED}"
        )
    return parse_destination(destination), endpoint
