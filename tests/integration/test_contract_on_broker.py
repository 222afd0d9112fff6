"""The contract, as our broker keeps it on TCP, with a store on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater

from netdemo.broker.server import BrokerService, broker_service
from tests.contract import Contract, on
from tests.folders import temporary_folder
from tests.rabbitmq import free_ports

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tests.contract_client import Client


class OnBroker(Contract):
    """A service on a loopback port of its own, with the time that really passes."""

    timeout = 60

    def setUp(self) -> None:
        self.store = temporary_folder(self)
        (self.port,) = free_ports(1)
        self.start()
        self.addCleanup(self.stop)
        super().setUp()

    def start(self) -> None:
        """Start the broker, with what is in its store."""
        endpoint = f"tcp:{self.port}:interface=127.0.0.1"
        self.service: BrokerService = broker_service([endpoint], reactor, store=self.store)
        self.service.startService()

    def stop(self) -> Deferred[None]:
        """Stop the broker."""
        return self.service.stopService()

    async def dial(self, client: Client) -> None:
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), client)

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(reactor, seconds)

    async def restart(self) -> None:
        await self.stop()
        self.start()


globals().update(on(OnBroker))
