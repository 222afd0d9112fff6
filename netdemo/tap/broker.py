"""``twistd amqp-broker``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.threads import deferToThread
from twisted.python import usage

from netdemo.broker.memory import MAX_MEMORY
from netdemo.broker.users_file import read_users
from netdemo.coercion import positive_integer
from netdemo.errors import StartupError
from netdemo.tap.command import command_service
from netdemo.tap.options import ListeningOptions

if TYPE_CHECKING:
    from twisted.application.service import IService


class Options(ListeningOptions):
    """Options of ``twistd amqp-broker``."""

    command = "amqp-broker"
    synopsis = (
        "[--listen ENDPOINT]... [--store DIR] [--users FILE] [--max-memory BYTES] "
        "[--max-connections N] [--grace S]"
    )
    default_endpoint = "tcp:5672:interface=127.0.0.1"
    longdesc = (
        "An AMQP 0-9-1 broker that answers as RabbitMQ does. "
        f"Listens on {default_endpoint} unless --listen says otherwise. Without --store all is "
        "in memory, and gone when it stops; without --users guest logs in from this machine, with "
        "the password guest. netdemo passwd prints the lines of a file of users. "
        "Example: twistd -n amqp-broker --store /var/lib/amqp --users /etc/amqp-users"
    )
    optParameters: list[list[Any]] = [
        ["store", None, None, "Directory for what survives a restart [default: nothing does]"],
        ["users", None, None, "The file of those who may log in; read once, at the start"],
        [
            "max-memory",
            None,
            MAX_MEMORY,
            "Bytes of messages above which publishers are made to wait",
            positive_integer("--max-memory"),
        ],
    ]
    compData = usage.Completions(
        optActions={"store": usage.CompleteDirs(), "users": usage.CompleteFiles()}
    )

    def postOptions(self) -> None:
        super().postOptions()
        for name in ("store", "users"):
            if self[name] == "":
                raise usage.UsageError(f"bad --{name} '': expected a path")
            if self[name] is not None:
                # twistd changes its directory later, with --rundir or as a daemon.
                self[name] = Path(self[name]).absolute()
        if self["users"] is not None:
            try:
                self["users"] = read_users(self["users"], deferToThread)
            except StartupError as error:
                raise usage.UsageError(f"--users: {error}") from None


def makeService(options: Options) -> IService:
    """Build the broker."""
    from twisted.internet import reactor

    from netdemo.broker.server import broker_service

    service = broker_service(
        options["listen"],
        reactor,
        store=options["store"],
        users=options["users"],
        max_memory=options["max-memory"],
        max_connections=options["max-connections"],
        grace=options["grace"],
    )
    return command_service(options.command, service)
