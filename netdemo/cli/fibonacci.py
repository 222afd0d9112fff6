"""The Fibonacci numbers of RabbitMQ's tutorial on remote procedure calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from netdemo.errors import RemoteError

if TYPE_CHECKING:
    from netdemo.amqp.message import Delivery

MAX_N: Final = 10_000
"""Its number has 2090 digits, and takes a millisecond, in which the reactor can be missed."""

SHOWN: Final = 20
"""Bytes that are shown of a request that is none."""


def serve_fibonacci(delivery: Delivery) -> bytes:
    """Return the number that is asked for, in digits.

    :raises RemoteError: unless the request is a whole number from 0 to `MAX_N`.
    """
    request = delivery.message.body.strip()
    if not re.fullmatch(rb"[0-9]{1,5}", request) or int(request) > MAX_N:
        shown = delivery.message.body[:SHOWN].decode(errors="replace")
        raise RemoteError(f"bad request {shown!r}: expected a whole number from 0 to {MAX_N}")
    return b"%d" % fibonacci(int(request))


def fibonacci(n: int) -> int:
    """Return the ``n``-th Fibonacci number: 0, 1, 1, 2, 3, 5 ..."""
    this, following = 0, 1
    for _ in range(n):
        this, following = following, this + following
    return this
