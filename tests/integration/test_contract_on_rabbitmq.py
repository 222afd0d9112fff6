"""The contract, as a real RabbitMQ keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater

from tests.contract import Contract, on
from tests.rabbitmq import RabbitMQTestCase

if TYPE_CHECKING:
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
        self.node.control("stop_app")
        self.node.control("start_app")
        return succeed(None)


globals().update(on(OnRabbitMQ))
