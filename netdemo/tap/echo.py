"""``twistd echo``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdemo.coercion import positive_number
from netdemo.echo import echo_service
from netdemo.tap.command import command_service
from netdemo.tap.options import ListeningOptions

if TYPE_CHECKING:
    from twisted.application.service import IService


class Options(ListeningOptions):
    """Options of ``twistd echo``."""

    command = "echo"
    synopsis = "[--listen ENDPOINT]... [--idle-timeout S] [--max-connections N]"
    default_endpoint = "tcp:1234:interface=127.0.0.1"
    longdesc = (
        "Sends back whatever it receives (RFC 862). "
        f"Listens on {default_endpoint} unless --listen says otherwise. "
        "Example: twistd -n echo --listen tcp:1234 --idle-timeout 60"
    )
    optParameters: list[list[Any]] = [
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
        idle_timeout=options["idle-timeout"],
        max_connections=options["max-connections"],
    )
    return command_service("echo", service)
