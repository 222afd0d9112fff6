"""`netdemo.amqp` on our own broker, on TCP: the same as on RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import client_behaviours, rpc_behaviours
from tests.embedded_broker import EmbeddedBrokerTestCase
from tests.ready_clients import ReadyClientTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class ClientOnBrokerTestCase(EmbeddedBrokerTestCase, ReadyClientTestCase):
    """A client that is ready, and a name for a queue."""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        EmbeddedBrokerTestCase.setUp(self)
        return ReadyClientTestCase.setUp(self)


class OutcomeTests(client_behaviours.Outcomes, ClientOnBrokerTestCase):
    """What `publish` fires with is what became of the message."""


class DeclarationTests(client_behaviours.Declarations, ClientOnBrokerTestCase):
    """Topology that the broker refuses is told in its words, and touches nothing else."""


class LeavingTests(client_behaviours.Leaving, ClientOnBrokerTestCase):
    """What was begun is ended, and nothing else with it."""


class RejectingTests(client_behaviours.Rejecting, ClientOnBrokerTestCase):
    """What consumers give back."""


class RPCOnBrokerTestCase(EmbeddedBrokerTestCase, rpc_behaviours.RPCTestCase):
    """Two connections, one to call and one to serve, and a queue between them."""

    async def setUp(self) -> None:  # type: ignore[override]
        EmbeddedBrokerTestCase.setUp(self)
        await rpc_behaviours.RPCTestCase.setUp(self)


class CallTests(rpc_behaviours.Calls, RPCOnBrokerTestCase):
    """What calls come to while nothing breaks."""


class LossTests(rpc_behaviours.Losses, RPCOnBrokerTestCase):
    """Connections are lost while requests are in hand."""
