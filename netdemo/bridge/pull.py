"""Pull: each message of a queue goes to one TCP client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.consumer import Consumer, Reject
from netdemo.bridge.framing import FramingError, LineFraming
from netdemo.listening import LimitedFactory

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.destination import Source
    from netdemo.amqp.message import Delivery
    from netdemo.bridge.routes import PullRoute
    from netdemo.transport import IStreamTransport


@implementer(IPullProducer)
class PullProtocol(Protocol):
    """Consumes for one client, and acknowledges what was handed to the kernel.

    The transport asks a pull producer for more when all that was written has gone to the kernel:
    that is when messages are acknowledged. (With TLS it is when they are encrypted.) What a
    client that leaves was not sent goes back to the queue, and so does what can't be written in
    the framing, which is kept until then. What the client sends is dropped; when it closes or
    half-closes, it has left.
    """

    factory: PullFactory
    transport: IStreamTransport
    _log = Logger()

    def __init__(self) -> None:
        self._unsent: list[Deferred[None]] = []
        self._kept: list[Deferred[None]] = []
        self._producing = False

    def connectionMade(self) -> None:
        source = self.factory.source
        self._consumer = Consumer(
            source.queue,
            self._hand_over,
            prefetch=self.factory.route.prefetch,
            topology=source.topology,
        )
        self.factory.client.add(self._consumer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self.factory.connection_ended(self)
        self._return_all(self._unsent)
        self._return_all(self._kept)
        self.factory.client.remove(self._consumer)

    def resumeProducing(self) -> None:
        """Acknowledge what was written: it is with the kernel now."""
        if not self._unsent:
            return  # registering asks for something at once
        self._producing = False
        self.transport.unregisterProducer()
        sent, self._unsent = self._unsent, []
        self.factory.delivered += len(sent)
        for delivery in sent:
            delivery.callback(None)

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def stop(self) -> None:
        """Send what was taken from the queue, then close."""
        self._return_all(self._kept)
        self.transport.loseConnection()

    def _hand_over(self, delivery: Delivery) -> Deferred[None]:
        handed_over: Deferred[None] = Deferred()
        try:
            data = LineFraming.encode(delivery.message.body)
        except FramingError as error:
            self._keep(handed_over, delivery, error)
            return handed_over
        if not self._producing:
            self._producing = True
            self.transport.registerProducer(self, False)
        self._unsent.append(handed_over)
        self.transport.write(data)
        return handed_over

    def _keep(self, handed_over: Deferred[None], delivery: Delivery, error: FramingError) -> None:
        self._kept.append(handed_over)
        self.factory.kept += 1
        self._log.error(
            "{route}: message {message_id} is kept: {reason}",
            route=self.factory.route,
            message_id=delivery.message.message_id,
            reason=error,
        )
        if len(self._kept) == self.factory.route.prefetch:
            self._log.error(
                "{route}: {peer} gets no more messages: all {count} that it may hold are kept",
                route=self.factory.route,
                peer=self.transport.getPeer(),
                count=len(self._kept),
            )

    def _return_all(self, deliveries: list[Deferred[None]]) -> None:
        returned = deliveries[:]
        deliveries.clear()
        for delivery in returned:
            delivery.errback(Reject(requeue=True))


class PullFactory(LimitedFactory):
    """Builds the connections of one route.

    Counters: `delivered` and `kept` messages, the latter not to be written in the framing.
    """

    def __init__(self, route: PullRoute, source: Source, client: AMQPClient) -> None:
        super().__init__()
        self.route = route
        self.source = source
        self.client = client
        self.delivered = self.kept = 0

    def new_protocol(self) -> PullProtocol:
        return PullProtocol()

    def stop(self) -> None:
        """Send every client what was taken for it, and close."""
        for protocol in list(self.connections):
            protocol.stop()
