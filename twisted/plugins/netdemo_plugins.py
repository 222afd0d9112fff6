"""The commands that ``twistd`` and ``twist`` list. Kept light: every twistd imports this file."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

from netdemo.mutual_tls import MutualTLSParser

echo = ServiceMaker(
    "netdemo echo",
    "netdemo.tap.echo",
    "Send back whatever is received (RFC 862).",
    "echo",
)

poetry = ServiceMaker(
    "netdemo poetry",
    "netdemo.tap.poetry",
    "Stream a file to everyone who connects.",
    "poetry",
)

amqp_bridge = ServiceMaker(
    "netdemo amqp-bridge",
    "netdemo.tap.bridge",
    "Plain TCP on one side, RabbitMQ on the other.",
    "amqp-bridge",
)

amqp_broker = ServiceMaker(
    "netdemo amqp-broker",
    "netdemo.tap.broker",
    "An AMQP 0-9-1 broker that answers as RabbitMQ does.",
    "amqp-broker",
)

mutual_tls = MutualTLSParser()

eager = Reactor("eager", "netdemo.reactor", "epoll that sends first and asks second (Linux).")
