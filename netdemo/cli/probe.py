"""Messages to oneself, through a temporary queue of a broker."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from twisted.internet.defer import DeferredQueue

from netdemo.amqp.message import TRANSIENT, Message
from netdemo.amqp.topology import Queue
from netdemo.errors import AMQPError, NackedError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from netdemo.amqp.interfaces import IChannel, ISession
    from netdemo.amqp.message import Delivery, Return
    from netdemo.errors import ConnectionBlocked


class Probe:
    """Declares an exclusive queue on ``session``, publishes to it and consumes from it.

    `declare`, `publish` and `consume` are for one call each, in this order, `round_trip` for any
    number after them. All fail with `AMQPError`: `ChannelClosed` in the broker's words, or
    `ConnectionBlocked` by an alarm. The queue goes with the session.
    """

    def __init__(self, session: ISession, clock: IReactorTime) -> None:
        self.queue = f"netdemo-doctor-{secrets.token_hex(4)}"
        self._session = session
        self._clock = clock
        self._channel: IChannel | None = None
        self._message = Message(b"", delivery_mode=TRANSIENT)
        self._confirms: DeferredQueue[AMQPError | None] = DeferredQueue()
        self._deliveries: DeferredQueue[AMQPError | float] = DeferredQueue()
        session.watch_blocked(self._blocked)

    async def declare(self) -> None:
        """Declare the queue."""
        self._channel = await self._session.open_channel()
        self._channel.closed.addCallback(self._fail)
        await self._channel.queue_declare(
            Queue(self.queue, durable=False, exclusive=True, auto_delete=True)
        )

    async def publish(self) -> None:
        """Publish a message; return when it is confirmed."""
        assert self._channel is not None
        await self._channel.confirm_select(self._confirmed, self._returned)
        self._send()
        await self._confirm()

    async def consume(self) -> None:
        """Consume; return when the message that was published is here."""
        assert self._channel is not None
        await self._channel.consume(self.queue, self._delivered, self._cancelled, no_ack=True)
        await self._delivery()

    async def round_trip(self) -> float:
        """Publish a message; return the seconds until it was here."""
        began = self._clock.seconds()
        self._send()
        await self._confirm()
        return await self._delivery() - began

    def _send(self) -> None:
        assert self._channel is not None
        self._channel.publish(self._message, "", self.queue, mandatory=True)

    async def _confirm(self) -> None:
        error = await self._confirms.get()
        if error is not None:
            raise error

    async def _delivery(self) -> float:
        arrived = await self._deliveries.get()
        if isinstance(arrived, AMQPError):
            raise arrived
        return arrived

    def _confirmed(self, _: int, __: bool, acked: bool) -> None:
        self._confirms.put(
            None if acked else NackedError("the broker refused the message", self._message)
        )

    def _returned(self, returned: Return) -> None:
        self._fail(AMQPError(returned.reply_text, returned.reply_code))

    def _delivered(self, _: Delivery) -> None:
        self._deliveries.put(self._clock.seconds())

    def _cancelled(self) -> None:
        self._fail(AMQPError("the broker cancelled the consumer"))

    def _blocked(self, reason: ConnectionBlocked | None) -> None:
        if reason is not None:
            self._fail(reason)

    def _fail(self, error: AMQPError) -> None:
        self._confirms.put(error)
        self._deliveries.put(error)
