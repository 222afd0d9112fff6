"""The contract, as our broker keeps it on TCP, with a store on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater

from tests.contract import Contract, on
from tests.embedded_broker import EmbeddedBrokerTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tests.contract_client import Client


class OnBroker(EmbeddedBrokerTestCase, Contract):
    """A service on a loopback port of its own, with the time that really passes."""

    def setUp(self) -> None:
        EmbeddedBrokerTestCase.setUp(self)
        Contract.setUp(self)

    async def dial(self, client: Client) -> None:
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), client)

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(reactor, seconds)

    async def restart(self) -> None:
        await self.stop_broker()
        self.start_broker()


globals().update(on(OnBroker))
