"""``twistd echo``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.python import usage

from netdemo.coercion import positive_number
from netdemo.connecting import split_host_and_port
from netdemo.echo import echo_service
from netdemo.tap.command import command_service
from netdemo.tap.options import ListeningOptions

if TYPE_CHECKING:
    from twisted.application.service import IService


def _udp(text: str) -> tuple[str, int]:
    place = split_host_and_port(text)
    if place is None or not (isIPAddress(place[0]) or isIPv6Address(place[0])):
        raise usage.UsageError(
            f"bad --udp {text!r}: expected PORT, or HOST:PORT where HOST is an IP address"
        )
    return place


class Options(ListeningOptions):
    """Options of ``twistd echo``."""

    command = "echo"
    synopsis = (
        "[--listen ENDPOINT]... [--udp [HOST:]PORT] [--idle-timeout S] [--max-connections N] "
        "[--grace S]"
    )
    default_endpoint = "tcp:1234:interface=127.0.0.1"
    longdesc = (
        "Sends back whatever it receives (RFC 862). "
        f"Listens on {default_endpoint} unless --listen says otherwise. "
        "Example: twistd -n echo --listen tcp:1234 --idle-timeout 60"
    )
    optParameters: list[list[Any]] = [
        [
            "udp",
            None,
            None,
            "Echo datagrams too, on this port of the loopback or of the address HOST",
            _udp,
        ],
        [
            "idle-timeout",
            None,
            None,
            "Drop a connection that sends nothing for this many seconds [default: never]",
            positive_number("--idle-timeout"),
        ],
    ]


def makeService(options: Options) -> IService:
    """Build the echo service."""
    from twisted.internet import reactor

    service = echo_service(
        options["listen"],
        reactor,
        udp=options["udp"],
        idle_timeout=options["idle-timeout"],
        max_connections=options["max-connections"],
        grace=options["grace"],
    )
    return command_service("echo", service)
