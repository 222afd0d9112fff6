"""Remote procedure calls on a real RabbitMQ, by direct reply-to and by a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from netdemo.amqp import Message, RPCClient, RPCServer
from netdemo.errors import (
    OutcomeUnknownError,
)
from tests import rpc_behaviours
from tests.rabbitmq import RabbitMQTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Delivery


@pytest.mark.rabbitmq
class RPCOnRabbitMQTestCase(RabbitMQTestCase, rpc_behaviours.RPCTestCase):
    """Two connections, one to call and one to serve, and a queue between them."""

    async def setUp(self) -> None:  # type: ignore[override]
        RabbitMQTestCase.setUp(self)
        self.url = self.node.url
        await rpc_behaviours.RPCTestCase.setUp(self)


class CallTests(rpc_behaviours.Calls, RPCOnRabbitMQTestCase):
    """What calls come to while nothing breaks."""


class LossTests(rpc_behaviours.Losses, RPCOnRabbitMQTestCase):
    """Connections are lost while requests are in hand."""

    async def test_pending_calls_fail_when_the_broker_is_killed_and_later_ones_work(self) -> None:
        await deferToThread(self.node.sync)
        begun: list[Deferred[None]] = [Deferred(), Deferred()]

        def handler(delivery: Delivery) -> bytes | Deferred[bytes]:
            if delivery.message.body == b"again":
                return b"done"
            if not delivery.redelivered:
                begun[int(delivery.message.body)].callback(None)
            return Deferred()

        RPCServer(self.server, self.queue, handler, prefetch=10, topology=self.topology)
        callers = self.callers()
        pending = [rpc.call(self.queue, b"%d" % n) for n, rpc in enumerate(callers)]
        await gatherResults(begun)
        await deferToThread(self.node.kill)
        for each in pending:
            await self.failing(each, OutcomeUnknownError)
        waiting = [rpc.call(self.queue, b"again", timeout=60) for rpc in callers]
        await deferToThread(self.node.start)
        await self.server.when_ready()
        for each in waiting:
            self.assertEqual(await each, b"done")

    async def test_reply_to_that_kills_the_connection_does_so_once(self) -> None:
        RPCServer(self.server, self.queue, rpc_behaviours.echo)
        poison = Message(b"x", reply_to="amq.rabbitmq.reply-to.not.decodable")
        await self.caller.publish(poison, "", self.queue)
        rpc = RPCClient(self.caller)
        self.assertEqual(await rpc.call(self.queue, b"after it"), b"after it")
        self.assertEqual(self.losses, [0])
