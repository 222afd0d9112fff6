"""``twistd amqp-bridge``"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python import usage

from netdemo.bridge.framing import FRAMINGS
from netdemo.bridge.routes import (
    DEFAULT_FRAMING,
    LONGEST_RECORD,
    MAX_PREFETCH,
    MAX_RECORD,
    PREFETCH,
    SPOOL_LIMIT,
    CallRoute,
    PullRoute,
    PushRoute,
    ServeRoute,
    SubscribeRoute,
    split_route,
)
from netdemo.coercion import one_of, positive_integer
from netdemo.connecting import client_endpoint
from netdemo.errors import AddressError, BrokerURLError, ConfigError
from netdemo.listening import check_endpoint
from netdemo.tap.command import command_service
from netdemo.tap.embedded import EmbeddedBroker
from netdemo.tap.options import Options as CommandOptions
from netdemo.tap.reload import Reload

if TYPE_CHECKING:
    from twisted.application.service import IService, MultiService

    from netdemo.address import Destination
    from netdemo.bridge.routes import Route

DEFAULT_PUSH = "/queue/hello@tcp:7001:interface=127.0.0.1"
COLLECTION = 100_000
"""Objects from one collection of garbage to the next. Of Python's own 700 most are still in use,
since thousands of records are under way: looking through them took a third of the time."""
KINDS = ("push", "pull", "subscribe", "call", "serve")
BROKER_ENDPOINT = "tcp:5672:interface=127.0.0.1"
DEFAULT_PULL = "/queue/hello@tcp:7002:interface=127.0.0.1"


class Options(CommandOptions):
    """Options of ``twistd amqp-bridge``.

    `netdemo.amqp` is imported in functions alone, since it installs a reactor.
    """

    command = "amqp-bridge"
    synopsis = (
        "[--broker URL]... [--push|--pull|--subscribe|--call|--serve DEST@ENDPOINT]... "
        "[--framing line|netstring|int32] [--ack] [--prefetch N] [--spool DIR] [--config FILE]"
    )
    longdesc = (
        "Gives programs that can open a TCP socket RabbitMQ: each line sent to a --push endpoint "
        "is published, each message of a --pull destination is one line for one client, of a "
        "--subscribe destination for all; each line sent to a --call endpoint is a request, "
        "answered with its reply, and each request of a --serve destination goes to a TCP server, "
        "which is connected to. DEST is /queue/NAME, "
        "/amq/queue/NAME, /topic/KEY or /exchange/NAME/KEY. Without --broker the environment "
        "variable NETDEMO_BROKER names it; if nothing does, the bridge runs a broker of its own, "
        f"in memory, on {BROKER_ENDPOINT}. "
        "The routes in the TOML file of --config are carried, too, and are as that says when it is "
        "read again after SIGHUP. "
        f"Without a route and a file: --push {DEFAULT_PUSH} --pull {DEFAULT_PULL}. "
        "Example: twistd -n amqp-bridge --push /queue/log@tcp:7001 --pull /queue/log@tcp:7002"
    )
    optFlags = [
        [
            "ack",
            None,
            "Answer each pushed record with OK or ERR code reason, in order, and have each pulled "
            "one answered with ACK or NACK",
        ],
    ]
    optParameters: list[list[Any]] = [
        [
            "framing",
            None,
            DEFAULT_FRAMING,
            f"How records stand in the connection: {', '.join(FRAMINGS)}",
            one_of("--framing", FRAMINGS),
        ],
        [
            "prefetch",
            None,
            PREFETCH,
            "Messages under way to one pull client, or to all of a subscribe route",
            positive_integer("--prefetch", MAX_PREFETCH),
        ],
        [
            "max-record",
            None,
            MAX_RECORD,
            "Longest record to take, in bytes; a longer one ends its connection",
            positive_integer("--max-record", LONGEST_RECORD),
        ],
        ["config", None, None, "TOML file with routes, and the broker where no option names it"],
        [
            "spool",
            None,
            None,
            "Directory in which pushed records are safe before the broker has them [default: they "
            "wait in memory]",
        ],
        [
            "spool-limit",
            None,
            None,
            f"Bytes there from which no more is read from clients [default: {SPOOL_LIMIT}]",
            positive_integer("--spool-limit"),
        ],
    ]
    compData = usage.Completions(optActions={"spool": usage.CompleteDirs()})

    def __init__(self) -> None:
        super().__init__()
        self["broker"] = []
        for kind in KINDS:
            self[kind] = []

    def opt_broker(self, url: str) -> None:
        """URL of a broker, amqp:// or amqps://; any number, tried in turn"""
        from netdemo.amqp import BrokerURL

        try:
            BrokerURL.parse(url)
        except BrokerURLError as error:
            raise usage.UsageError(str(error)) from None
        self["broker"] = [*self["broker"], url]

    def opt_push(self, route: str) -> None:
        """DEST@ENDPOINT: publish the records of those who connect to ENDPOINT"""
        self["push"].append(_route(route))

    def opt_pull(self, route: str) -> None:
        """DEST@ENDPOINT: send the messages of DEST to those who connect to ENDPOINT"""
        self["pull"].append(_route(route))

    def opt_subscribe(self, route: str) -> None:
        """DEST@ENDPOINT: send a copy of each message of DEST to all who connect to ENDPOINT"""
        self["subscribe"].append(_route(route))

    def opt_call(self, route: str) -> None:
        """DEST@ENDPOINT: answer the records of those who connect to ENDPOINT from DEST"""
        self["call"].append(_route(route))

    def opt_serve(self, route: str) -> None:
        """DEST@ENDPOINT: answer the requests in DEST with replies of the TCP server at ENDPOINT"""
        self["serve"].append(_server_route(route))

    def postOptions(self) -> None:
        if self["spool"] == "":
            raise usage.UsageError("bad --spool '': expected a directory")
        self["hint"] = not self["config"] and not any(self[kind] for kind in KINDS)
        if self["hint"]:
            self.opt_push(DEFAULT_PUSH)
            self.opt_pull(DEFAULT_PULL)
        routes = [(kind, *route) for kind in KINDS for route in self[kind]]
        twice = {route for route in routes if routes.count(route) > 1}
        for kind, destination, endpoint in twice:
            raise usage.UsageError(f"the same --{kind} {destination}@{endpoint} twice")
        if self["config"]:
            self._read_config()
        if self["spool"] is not None:
            self["spool"] = Path(self["spool"]).absolute()  # twistd changes its directory later
        if not self["broker"]:
            from netdemo.amqp.broker_url import named_broker_url

            if (url := named_broker_url()) is not None:
                self.opt_broker(url)

    def _read_config(self) -> None:
        from twisted.internet import reactor

        from netdemo.bridge.config import ConfigFile

        self["file"] = ConfigFile(self["config"], reactor, routes(self))
        try:
            self["settings"] = self["file"].read()
        except ConfigError as error:
            raise usage.UsageError(f"\n{self.command}: ".join(error.errors)) from None
        self["broker"] = self["broker"] or list(self["settings"].broker)
        for name, key in (("spool", "spool"), ("spool-limit", "spool_limit")):
            self[name] = self[name] or getattr(self["settings"], key)


def makeService(options: Options) -> IService:
    """Build the bridge."""
    from twisted.internet import reactor

    from netdemo.amqp.broker_url import DEFAULT_BROKER
    from netdemo.bridge.service import bridge_service
    from netdemo.broker.server import broker_service

    gc.set_threshold(COLLECTION)
    urls = options["broker"] or [DEFAULT_BROKER]
    given = routes(options)
    config = options["settings"] if options["config"] else None
    bridge = bridge_service(
        urls,
        [*given, *(config.routes if config else ())],
        reactor,
        spool=options["spool"],
        spool_limit=options["spool-limit"] or SPOOL_LIMIT,
    )
    service: MultiService = bridge
    if options["hint"]:
        Hint().setServiceParent(bridge)
    if config:
        Reload(options["file"], config, given, bridge, reactor).setServiceParent(bridge)
    if not options["broker"]:
        service = EmbeddedBroker(broker_service([BROKER_ENDPOINT], reactor), bridge)
    return command_service(options.command, service)


def routes(options: Options) -> list[Route]:
    """Return the routes that the options name, without those in a file."""
    framing = options["framing"]
    ack, longest, prefetch = options["ack"] == 1, options["max-record"], options["prefetch"]
    limits: dict[type[Route], dict[str, Any]] = {
        PushRoute: {"ack": ack, "max_record": longest},
        PullRoute: {"ack": ack, "prefetch": prefetch},
        SubscribeRoute: {"prefetch": prefetch},
        CallRoute: {"max_record": longest},
        ServeRoute: {"max_record": longest},
    }
    return [
        route(destination, endpoint, framing=framing, **values)
        for route, values in limits.items()
        for destination, endpoint in options[route.kind]
    ]


class Hint(Service):
    """Logs what to type next, where no route was given."""

    _log = Logger()

    def startService(self) -> None:
        super().startService()
        self._log.info("to send lines: nc -N 127.0.0.1 7001; to read them: nc 127.0.0.1 7002")


def _route(text: str) -> tuple[Destination, str]:
    from twisted.internet import reactor

    try:
        destination, endpoint = split_route(text)
        return destination, check_endpoint(endpoint, reactor)
    except (AddressError, ValueError) as error:
        raise usage.UsageError(str(error)) from None


def _server_route(text: str) -> tuple[Destination, str]:
    from twisted.internet import reactor

    try:
        destination, endpoint = split_route(text)
        client_endpoint(endpoint, reactor)
    except AddressError as error:
        raise usage.UsageError(str(error)) from None
    return destination, endpoint
