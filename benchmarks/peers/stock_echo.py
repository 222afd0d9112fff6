"""``stock_echo.py PORT``: the echo that Twisted's own documentation shows."""

from __future__ import annotations

import sys
from typing import Any, cast

from twisted.internet import reactor as default_reactor
from twisted.internet.protocol import Factory, Protocol

reactor = cast("Any", default_reactor)


class Echo(Protocol):
    """Writes back what it reads."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


reactor.listenTCP(int(sys.argv[1]), Factory.forProtocol(Echo), interface="127.0.0.1")
reactor.run()
