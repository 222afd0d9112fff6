"""The contract, as a real RabbitMQ keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.contract import Contract, on
from tests.rabbitmq import RabbitMQTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tests.contract_client import Client


class OnRabbitMQ(RabbitMQTestCase, Contract):
    """A real node on TCP, with the time that really passes."""

    timeout = 60

    def setUp(self) -> None:
        RabbitMQTestCase.setUp(self)
        Contract.setUp(self)

    async def dial(self, client: Client) -> None:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.node.port)
        await connectProtocol(endpoint, client)

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(reactor, seconds)

    def restart(self) -> Deferred[None]:
        # In a thread: RabbitMQ waits for its clients, which answer on ours.
        return deferToThread(self._restart)

    def _restart(self) -> None:
        self.node.control("stop_app")
        self.node.control("start_app")


globals().update(on(OnRabbitMQ))
