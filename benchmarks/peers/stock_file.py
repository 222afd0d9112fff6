"""``stock_file.py PORT FILE``: the least Twisted program that sends a file's bytes, from memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as default_reactor
from twisted.internet.protocol import Factory, Protocol

reactor = cast("Any", default_reactor)
POEM = Path(sys.argv[2]).read_bytes()


class Poem(Protocol):
    """Writes the bytes and closes."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(POEM)
        self.transport.loseConnection()


reactor.listenTCP(int(sys.argv[1]), Factory.forProtocol(Poem), interface="127.0.0.1")
reactor.run()
