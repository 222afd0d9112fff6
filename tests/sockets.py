"""Servers on real sockets of the loopback, of each kind, for tests of protocols."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.trial.unittest import TestCase

from tests.certificates import write_certificate
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamClientEndpoint

    from netdemo.listening import LimitedFactory

TCP = "tcp:0:interface=127.0.0.1"
UNIX = "unix:{folder}/socket"
HAPROXY = f"haproxy:{TCP}"
TLS = "ssl:0:interface=127.0.0.1:privateKey={folder}/tls.pem:certKey={folder}/tls.pem"


class SocketTestCase(TestCase):
    """A test with a server at `server`, in a folder of its own."""

    timeout = 60
    reactor: Any = reactor
    server = TCP

    def setUp(self) -> None:
        self.folder = temporary_folder(self)

    async def serve(self, factory: LimitedFactory) -> IStreamClientEndpoint:
        """Listen during this test, and return the endpoint to connect to.

        The test does not end before all connections have.
        """
        write_certificate(self.folder / "tls.pem")
        server = serverFromString(self.reactor, self.server.format(folder=self.folder))
        port: Any = await server.listen(factory)
        self.addCleanup(factory.when_empty)
        self.addCleanup(port.stopListening)
        address = port.getHost()
        if self.server == UNIX:
            where = f"unix:{os.fsdecode(address.name)}"
        else:
            kind = self.server.removeprefix("haproxy:").partition(":")[0]
            where = f"{kind}:127.0.0.1:{address.port}"
        endpoint: IStreamClientEndpoint = clientFromString(self.reactor, where)
        return endpoint
