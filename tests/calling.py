"""Callers and servers of remote procedures at work on a scripted peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from pika import BasicProperties, spec

from netdemo.amqp.rpc import MAX_CALLS, RPCClient, RPCServer
from tests.clients import ClientTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from netdemo.amqp.message import Message
    from netdemo.amqp.rpc import CallHandler

CHANNEL = 2
"""Of the caller, or of the server's replies: the client's own publisher has the first."""

REQUESTS = 3
"""The channel on which a server consumes."""


@attrs.frozen
class Published:
    """A message that the client has published."""

    exchange: str
    routing_key: str
    mandatory: bool
    properties: BasicProperties
    body: bytes


class _PeerTestCase(ClientTestCase):
    def let_in(self) -> None:
        """Let the client in, on its first connection or a later one."""
        self.peer = self.accept()
        (self.tag,) = (
            each.consumer_tag for each in self.asked if isinstance(each, spec.Basic.Consume)
        )

    def lose(self) -> None:
        """End the connection, and let the next attempt begin."""
        self.peer.wire.end()
        self.reactor.advance(1)

    def published(self) -> list[Published]:
        """Return what was published since this was asked last."""
        self.peer.agree()
        frames, self.peer.agreed = self.peer.agreed, []
        published: list[Published] = []
        method: Any = None
        for each in frames:
            if each.NAME == "METHOD":
                method = each.method
            elif each.NAME == "Header":
                properties = each.properties
                published.append(
                    Published(
                        method.exchange, method.routing_key, method.mandatory, properties, b""
                    )
                )
            else:
                body = published[-1].body + each.fragment
                published[-1] = attrs.evolve(published[-1], body=body)
        return published

    def one_published(self) -> Published:
        """Return the one message that was published since this was asked last."""
        (published,) = self.published()
        return published

    def confirm(self, tag: int = 1) -> None:
        """Confirm what was published up to `tag`."""
        self.peer.send(spec.Basic.Ack(tag, multiple=True), channel=CHANNEL)

    def give_back(self, published: Published, tag: int = 1) -> None:
        """Return a message, and confirm it."""
        method = spec.Basic.Return(312, "NO_ROUTE", published.exchange, published.routing_key)
        self.peer.send_content(method, published.properties, published.body, channel=CHANNEL)
        self.confirm(tag)


class CallerTestCase(_PeerTestCase):
    """A caller whose client is connected."""

    direct = True
    max_calls = MAX_CALLS

    def setUp(self) -> None:
        super().setUp()
        self.rpc = RPCClient(self.client, direct=self.direct, max_calls=self.max_calls)
        self.calls: list[Deferred[bytes]] = []
        self.addCleanup(self._expect_failures)
        self.client.startService()
        self.let_in()

    def _expect_failures(self) -> None:
        """Take the failures of calls that are not answered when the client is stopped."""
        for each in self.calls:
            each.addErrback(lambda _: None)

    def begin(
        self, body: bytes | Message = b"request", queue: str = "q", **options: Any
    ) -> Deferred[bytes]:
        """Call the server of ``q``."""
        self.calls.append(self.rpc.call(queue, body, **options))
        return self.calls[-1]

    def call(self, **options: Any) -> tuple[Deferred[bytes], str]:
        """Call the server of ``q``; return the call and the correlation id of its request."""
        calling = self.begin(**options)
        return calling, str(self.one_published().properties.correlation_id)

    def close_channel(self, code: int = 404, text: str = "NOT_FOUND") -> None:
        """Close the caller's channel for an error, and let it open another."""
        self.peer.send(spec.Channel.Close(code, text, 0, 0), channel=CHANNEL)
        self.reactor.advance(1)
        asked = self.peer.agree()
        (self.tag,) = (each.consumer_tag for each in asked if isinstance(each, spec.Basic.Consume))

    def reply(
        self, correlation_id: str | None, body: bytes = b"reply", type_: str | None = None
    ) -> None:
        """Send the caller a reply."""
        method = spec.Basic.Deliver(self.tag, 1, False, "", "amq.rabbitmq.reply-to.x.y")
        properties = BasicProperties(correlation_id=correlation_id, type=type_)
        self.peer.send_content(method, properties, body, channel=CHANNEL)


class ServerTestCase(_PeerTestCase):
    """A client that is connected when a test has begun to serve."""

    def serve(self, handler: CallHandler, **options: Any) -> RPCServer:
        """Serve ``q``, and let the client in."""
        server = RPCServer(self.client, "q", handler, **options)
        self.client.startService()
        self.let_in()
        return server

    def request(
        self,
        body: bytes = b"request",
        *,
        tag: int = 1,
        redelivered: bool = False,
        reply_to: str | None = "caller",
        correlation_id: str | None = "id",
        delivery_mode: int | None = None,
    ) -> None:
        """Deliver a request."""
        properties = BasicProperties(
            reply_to=reply_to, correlation_id=correlation_id, delivery_mode=delivery_mode
        )
        method = spec.Basic.Deliver(self.tag, tag, redelivered, "", "q")
        self.peer.send_content(method, properties, body, channel=REQUESTS)

    def answers(self) -> list[Any]:
        """Return how requests were answered to the broker since anything was asked last."""
        answers = spec.Basic.Ack, spec.Basic.Nack
        return [each for each in self.peer.agree() if isinstance(each, answers)]
