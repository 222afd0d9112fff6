"""Echo, poetry, a broker and a bridge in one process: ``twistd -ny examples/netdemo.tac``.

All of it is on the loopback: echo on TCP and UDP port 1234, this file as a poem on port 9000, a
broker on port 5672, and a bridge that takes lines on port 7001 and gives them out on port 7002.
"""

from pathlib import Path

from twisted.application.service import Application, MultiService
from twisted.internet import reactor

from netdemo.address import parse_destination
from netdemo.bridge.routes import PullRoute, PushRoute
from netdemo.bridge.service import bridge_service
from netdemo.broker.server import broker_service
from netdemo.echo import echo_service
from netdemo.poetry import poetry_service

services = MultiService()

echo_service(
    ["tcp:1234:interface=127.0.0.1"], reactor, udp=("127.0.0.1", 1234), idle_timeout=600
).setServiceParent(services)

poetry_service(
    Path(__file__).absolute(), ["tcp:9000:interface=127.0.0.1"], reactor, max_connections=1000
).setServiceParent(services)

broker_service(["tcp:5672:interface=127.0.0.1"], reactor).setServiceParent(services)

hello = parse_destination("/queue/hello")
bridge_service(
    ["amqp://guest:guest@127.0.0.1:5672/"],
    [
        PushRoute(hello, "tcp:7001:interface=127.0.0.1", ack=True),
        PullRoute(hello, "tcp:7002:interface=127.0.0.1"),
    ],
    reactor,
).setServiceParent(services)

application = Application("netdemo")
services.setServiceParent(application)
