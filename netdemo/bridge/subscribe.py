"""Subscribe: every TCP client gets its own copy of each message."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from netdemo.address import QueueDestination
from netdemo.amqp.consumer import Consumer, Reject
from netdemo.amqp.destination import source
from netdemo.bridge.framing import FRAMINGS, FramingError
from netdemo.bridge.sending import SendingFactory, SendingProtocol
from netdemo.transport import address_text

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.destination import Source
    from netdemo.amqp.message import Delivery
    from netdemo.bridge.routes import SubscribeRoute

STALL: Final = 5.0
"""Seconds that records wait for the first client to take them, before they wait no more."""


class SubscribeProtocol(SendingProtocol):
    """Sends one client all that comes while it is there.

    `position` is how far it is in the bytes that the route has sent to anybody.
    """

    factory: SubscribeFactory
    position: int

    def connectionMade(self) -> None:
        super().connectionMade()
        self.factory.joined(self)

    def sent(self, count: int, size: int) -> None:  # noqa: ARG002
        self.position += size
        self.factory.taken(self.position)

    def stop(self) -> None:
        """Close when what waits is sent."""
        self.transport.loseConnection()


class SubscribeFactory(SendingFactory):
    """Sends all clients of one route what one consumer takes from one queue.

    A message is acknowledged when the first client has taken it: the fastest one sets the pace,
    and what others have not taken yet waits for each of them, as references to the same bytes.
    One that is more than the route's ``buffer`` of bytes behind the fastest is dropped. So no more
    than that and the route's ``prefetch`` of messages wait for a client. When a client comes, what
    nobody has taken is acknowledged, too: it would hold up who has nothing to do with it.

    The queue of a topic or exchange is consumed from at all times: what comes while nobody is
    connected is for nobody. So that it does not fill for clients none of which reads, its messages
    are acknowledged at once when for `STALL` seconds nobody took any, until somebody does.
    A queue by name is consumed from while somebody is connected; what its clients left without
    taking it goes back.

    Counters: `delivered` messages, to all, `rejected` ones, which can't be written in the
    framing, and `dropped` clients, which were too far behind.
    """

    _log = Logger()

    def __init__(
        self, route: SubscribeRoute, client: AMQPClient, taken_over: Source | None = None
    ) -> None:
        super().__init__(route, client.clock)
        self.source = taken_over or source(route.destination)
        self.client = client
        self.delivered = self.rejected = self.dropped = 0
        self._consumer = Consumer(
            self.source.queue,
            self._send_all,
            prefetch=route.prefetch,
            topology=self.source.topology,
        )
        self._waits_for_clients = isinstance(route.destination, QueueDestination)
        self._consuming = False
        self._end = 0
        """How many bytes were sent to anybody."""
        self._position = 0
        """How many of them were taken by somebody."""
        self._untaken: deque[tuple[int, Deferred[None]]] = deque()
        self._stall: IDelayedCall | None = None
        self._stalled = False
        # Also while nobody subscribes to a queue: what is published meanwhile shall wait there.
        client.declare(self.source.topology).addErrback(lambda _: None)  # the client logs it
        if not self._waits_for_clients:
            self._consume()

    def new_protocol(self) -> SubscribeProtocol:
        return SubscribeProtocol()

    def joined(self, protocol: SubscribeProtocol) -> None:
        """Have another client, which does not get what came before."""
        protocol.position = self._end  # at once: the next message may come from within `taken`
        if not self._consuming:
            self._consume()
        self.taken(self._end)  # it can't wait for what others have not taken

    def connection_ended(self, protocol: Any) -> None:
        if self.connections == {protocol}:
            self._nobody_is_left()
        super().connection_ended(protocol)

    def taken(self, position: int) -> None:
        """Acknowledge what ends before ``position``: a client has come so far."""
        self._stalled = False
        self._position = max(self._position, position)
        self._release()
        if self._stall is not None:
            if self._untaken:
                self._stall.reset(STALL)
            else:
                self._stall.cancel()
                self._stall = None

    async def _stop(self) -> None:
        self.stopping = True
        if self._consuming and self._waits_for_clients:
            self._consumer.drain()
        await super()._stop()

    def withdraw(self) -> None:
        self._stop_consuming()
        self.client.undeclare(self.source.topology)

    def _consume(self) -> None:
        self._consuming = True
        self.client.add(self._consumer)

    def _stop_consuming(self) -> None:
        self._consuming = False
        self.client.remove(self._consumer)

    def _nobody_is_left(self) -> None:
        if self._waits_for_clients:
            self._stop_consuming()
            untaken, self._untaken = self._untaken, deque()
            for _, taken in untaken:
                taken.errback(Reject(requeue=True))
        self.taken(self._end)

    def _send_all(self, delivery: Delivery) -> Deferred[None] | None:
        try:
            data = FRAMINGS[self.route.framing].encode(delivery.message.body)
        except FramingError as error:
            self.rejected += 1
            self._log.error(
                "{route}: message {message_id} is rejected: {reason}",
                route=self.route,
                message_id=delivery.message.message_id,
                reason=error,
            )
            raise Reject from None
        if self.stopping or not self.connections:
            return None
        self.delivered += 1
        self._end += len(data)
        for protocol in list(self.connections):
            protocol.send(data)
            if not protocol.ended and self._position - protocol.position > self.route.buffer:
                self._drop(protocol)
        return self._until_taken()

    def _until_taken(self) -> Deferred[None] | None:
        """Fire when a client has taken what was sent last, or none is likely to."""
        if self._stalled:
            self._position = self._end
            return None
        if self._stall is None and not self._waits_for_clients:
            self._stall = self.clock.callLater(STALL, self._nobody_takes)
        taken: Deferred[None] = Deferred()
        self._untaken.append((self._end, taken))
        return taken

    def _nobody_takes(self) -> None:
        self._stall = None
        self._stalled = True
        self._position = self._end
        self._release()

    def _release(self) -> None:
        while self._untaken and self._untaken[0][0] <= self._position:
            self._untaken.popleft()[1].callback(None)

    def _drop(self, protocol: SubscribeProtocol) -> None:
        self.dropped += 1
        self._log.warn(
            "{route}: dropped {peer}: more than {buffer} bytes wait for it",
            route=self.route,
            peer=address_text(protocol.transport.getPeer()),
            buffer=self.route.buffer,
        )
        protocol.abort()
