"""Echo and poetry in one process: ``twistd -ny examples/netdemo.tac``.

Echo is on TCP and UDP port 1234 of the loopback, and this file is the poem on port 9000.
"""

from pathlib import Path

from twisted.application.service import Application, MultiService
from twisted.internet import reactor

from netdemo.echo import echo_service
from netdemo.poetry import poetry_service

services = MultiService()

echo_service(
    ["tcp:1234:interface=127.0.0.1"], reactor, udp=("127.0.0.1", 1234), idle_timeout=600
).setServiceParent(services)

poetry_service(
    Path(__file__).absolute(), ["tcp:9000:interface=127.0.0.1"], reactor, max_connections=1000
).setServiceParent(services)

application = Application("netdemo")
services.setServiceParent(application)
