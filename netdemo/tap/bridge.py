"""``twistd amqp-bridge``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python import usage

from netdemo.bridge.routes import (
    MAX_PREFETCH,
    MAX_RECORD,
    PREFETCH,
    PullRoute,
    PushRoute,
    split_route,
)
from netdemo.coercion import positive_integer
from netdemo.errors import AddressError, BrokerURLError
from netdemo.listening import check_endpoint
from netdemo.tap.command import command_service
from netdemo.tap.embedded import EmbeddedBroker
from netdemo.tap.options import Options as CommandOptions

if TYPE_CHECKING:
    from twisted.application.service import IService

    from netdemo.address import Destination

DEFAULT_PUSH = "/queue/hello@tcp:7001:interface=127.0.0.1"
BROKER_ENDPOINT = "tcp:5672:interface=127.0.0.1"
DEFAULT_PULL = "/queue/hello@tcp:7002:interface=127.0.0.1"


class Options(CommandOptions):
    """Options of ``twistd amqp-bridge``.

    `netdemo.amqp` is imported in functions alone, since it installs a reactor.
    """

    command = "amqp-bridge"
    synopsis = "[--broker URL]... [--push|--pull DEST@ENDPOINT]... [--ack] [--prefetch N]"
    longdesc = (
        "Gives programs that can open a TCP socket RabbitMQ: each line sent to a --push endpoint "
        "is published, each message of a --pull destination is one line. DEST is /queue/NAME, "
        "/amq/queue/NAME, /topic/KEY or /exchange/NAME/KEY. Without --broker the environment "
        "variable NETDEMO_BROKER names it; if nothing does, the bridge runs a broker of its own, "
        f"in memory, on {BROKER_ENDPOINT}. "
        f"Without a route: --push {DEFAULT_PUSH} --pull {DEFAULT_PULL}. "
        "Example: twistd -n amqp-bridge --push /queue/log@tcp:7001 --pull /queue/log@tcp:7002"
    )
    optFlags = [
        ["ack", None, "Answer each pushed record with OK or ERR code reason, in order"],
    ]
    optParameters: list[list[Any]] = [
        [
            "prefetch",
            None,
            PREFETCH,
            "Messages under way to one pull client",
            positive_integer("--prefetch", MAX_PREFETCH),
        ],
        [
            "max-record",
            None,
            MAX_RECORD,
            "Longest record to take, in bytes; a longer one ends its connection",
            positive_integer("--max-record"),
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["broker"] = []
        self["push"] = []
        self["pull"] = []

    def opt_broker(self, url: str) -> None:
        """URL of a broker, amqp:// or amqps://; any number, tried in turn"""
        from netdemo.amqp import BrokerURL

        try:
            BrokerURL.parse(url)
        except BrokerURLError as error:
            raise usage.UsageError(str(error)) from None
        self["broker"].append(url)

    def opt_push(self, route: str) -> None:
        """DEST@ENDPOINT: publish the records of those who connect to ENDPOINT"""
        self["push"].append(_route(route))

    def opt_pull(self, route: str) -> None:
        """DEST@ENDPOINT: send the messages of DEST to those who connect to ENDPOINT"""
        self["pull"].append(_route(route))

    def postOptions(self) -> None:
        if not self["broker"]:
            from netdemo.amqp.broker_url import named_broker_url

            if (url := named_broker_url()) is not None:
                self.opt_broker(url)
        self["hint"] = not self["push"] and not self["pull"]
        if self["hint"]:
            self.opt_push(DEFAULT_PUSH)
            self.opt_pull(DEFAULT_PULL)
        routes = [("push", *route) for route in self["push"]]
        routes += [("pull", *route) for route in self["pull"]]
        twice = {route for route in routes if routes.count(route) > 1}
        for kind, destination, endpoint in twice:
            raise usage.UsageError(f"the same --{kind} {destination}@{endpoint} twice")


def makeService(options: Options) -> IService:
    """Build the bridge."""
    from twisted.internet import reactor

    from netdemo.amqp.broker_url import DEFAULT_BROKER
    from netdemo.bridge.service import bridge_service
    from netdemo.broker.server import broker_service

    pushes = [
        PushRoute(destination, endpoint, options["ack"] == 1, options["max-record"])
        for destination, endpoint in options["push"]
    ]
    pulls = [
        PullRoute(destination, endpoint, options["prefetch"])
        for destination, endpoint in options["pull"]
    ]
    urls = options["broker"] or [DEFAULT_BROKER]
    service = bridge_service(urls, [*pushes, *pulls], reactor)
    if options["hint"]:
        Hint().setServiceParent(service)
    if not options["broker"]:
        service = EmbeddedBroker(broker_service([BROKER_ENDPOINT], reactor), service)
    return command_service(options.command, service)


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
