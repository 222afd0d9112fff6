"""A client on a reactor in memory, and its brokers' ends of the connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pika import spec
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from netdemo.amqp.client import STOP_TIMEOUT, AMQPClient
from tests.peer import SERVER_PROPERTIES, PeerTestCase, connected

if TYPE_CHECKING:
    from twisted.logger import ILogObserver

    from netdemo.amqp.broker_url import BrokerURL
    from tests.peer import Peer

SECRET = "s3cret"
REFUSAL = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."


def memory_endpoint(url: BrokerURL, reactor: Any) -> TCP4ClientEndpoint:
    """Connect without looking up a name."""
    return TCP4ClientEndpoint(reactor, url.parameters.host, url.parameters.port)


class ClientTestCase(PeerTestCase):
    """A client whose delays are 1 s, 2 s, 3 s ... on a reactor in memory."""

    urls: tuple[str, ...] = (f"amqp://user:{SECRET}@one:1/",)

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.client = AMQPClient(
            self.urls,
            self.reactor,
            retry_policy=lambda failures: 1.0 + failures,
            endpoint=memory_endpoint,
        )
        self.logged: list[str] = []
        observer = cast("ILogObserver", self._log)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.addCleanup(self.no_timer_is_left)

    def _log(self, event: Any) -> None:
        if event["log_namespace"].startswith("netdemo"):
            self.logged.append(event["log_format"].format(**event))

    def no_timer_is_left(self) -> None:
        """Stop the client, whatever state it is in; no DelayedCall may be left."""
        if self.client.running:
            stopping = self.client.stopService()
            self.reactor.advance(STOP_TIMEOUT)
            self.reactor.advance(STOP_TIMEOUT)
            self.successResultOf(stopping)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def attempt(self) -> Any:
        """Return host, port and factory of the latest attempt to connect."""
        return self.reactor.tcpClients[-1]

    def refuse(self) -> None:
        """Refuse the latest attempt."""
        _, _, factory, *_ = self.attempt()
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError(111, "refused")))

    def connect(self) -> Peer:
        """Let TCP be connected; return the broker's end."""
        return connected(self.reactor)

    def accept(self) -> Peer:
        """Let the client in, and agree to what its publishers and consumers ask first."""
        peer = self.connect().let_in()
        self.asked = peer.agree()
        return peer

    def consumes(self) -> list[str]:
        """Return the queues that were consumed from when the client was let in last."""
        return [each.queue for each in self.asked if isinstance(each, spec.Basic.Consume)]

    def refuse_login(self, peer: Peer) -> None:
        """Refuse the login as RabbitMQ does."""
        peer.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        peer.received()
        peer.send(spec.Connection.Close(403, REFUSAL, 0, 0))
        peer.wire.end()
