"""Consuming: what becomes of a delivery is decided by how its handler ends."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.interfaces import IChannelUser
from netdemo.amqp.status import Observable, Status
from netdemo.amqp.topology import Topology
from netdemo.errors import ConsumerCancelled
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.python.failure import Failure

    from netdemo.amqp.interfaces import IChannel
    from netdemo.amqp.message import Delivery
    from netdemo.errors import AMQPError, ChannelClosed

    Handler = Callable[[Delivery], None | Deferred[None] | Coroutine[Deferred[Any], Any, None]]

PREFETCH: Final = 1
"""Deliveries that a consumer holds unacknowledged, unless said otherwise: fair dispatch."""

MAX_PREFETCH: Final = 65535
"""AMQP has two bytes for it (AMQP 0-9-1, class basic, method qos)."""

MAX_NAME: Final = 255
"""Bytes of a name (AMQP 0-9-1, section 4.2.5.3, short strings)."""


class Reject(Exception):
    """Raised by a handler: the broker shall have the message back, or drop or dead-letter it."""

    def __init__(self, requeue: bool = False) -> None:
        super().__init__(f"requeue={requeue}")
        self.requeue = requeue


@implementer(IChannelUser)
class Consumer(Observable):
    """Calls ``handler`` with each delivery from `queue`, at most ``prefetch`` at a time.

    The handler returns ``None``, a Deferred or a coroutine. When it is done the delivery is
    acknowledged. `Reject` refuses it; any other exception is logged and gives the message a
    second chance, once: what was delivered before is then rejected and not requeued, so that
    no message goes round for ever.

    The state of `status` is one of ``consuming``, ``waiting`` (to be let consume, again and again;
    its reason is why it is not, in the broker's words) and ``stopped``.
    """

    _log = Logger()

    def __init__(
        self,
        queue: str,
        handler: Handler,
        *,
        prefetch: int = PREFETCH,
        topology: Topology | None = None,
    ) -> None:
        if not 1 <= prefetch <= MAX_PREFETCH:  # 0 would be without a bound
            raise ValueError(f"bad prefetch {prefetch}: expected 1 to {MAX_PREFETCH}")
        if len(queue.encode()) > MAX_NAME:
            raise ValueError(f"bad queue name {queue!r}: expected at most {MAX_NAME} bytes")
        super().__init__(Status("stopped"))
        self.queue = queue
        self.topology = topology or Topology()
        self._handler = handler
        self._prefetch = prefetch
        self._channel: IChannel | None = None
        self._consumer_tag: str | None = None
        self._in_hand = 0
        self._ahead: deque[tuple[Delivery, IChannel]] = deque()
        self._working = False
        self._draining = False
        self._attached: Waiters[None] = Waiters()
        self._drained: Waiters[None] = Waiters()

    def __str__(self) -> str:
        return f"consumer of {self.queue!r}"

    def when_consuming(self) -> Deferred[None]:
        """Fire when the broker has accepted the consumer; fail when it will not be asked again."""
        if self._consumer_tag is not None:
            return succeed(None)
        return self._attached.wait()

    def start(self) -> None:
        self._draining = False
        self._change_status(Status("waiting"))

    async def attach(self, channel: IChannel) -> None:
        if self._draining:
            return
        self._channel = channel
        await channel.qos(self._prefetch)
        consumer_tag = await channel.consume(
            self.queue,
            lambda delivery: self._deliver(delivery, channel),
            lambda: self._cancelled(channel),
        )
        if self._draining:  # begun while the broker was asked
            await channel.cancel(consumer_tag)
            return
        self._consumer_tag = consumer_tag
        self._change_status(Status("consuming"))
        self._attached.callback(None)

    def detach(self, reason: ChannelClosed) -> None:
        if self.status.state != "stopped":
            self._change_status(Status("waiting", reason))
        self._channel = self._consumer_tag = None
        self._ahead.clear()  # they went back with the channel

    def drain(self) -> Deferred[None]:
        self._draining = True
        self._change_status(Status("stopped"))
        drained = self._drained.wait()
        cancelling: Deferred[None] = succeed(None)
        if self._channel is not None and self._consumer_tag is not None:
            cancelling = self._channel.cancel(self._consumer_tag)
        cancelling.addBoth(lambda _: self._look_whether_drained())
        return drained

    def give_up(self, reason: AMQPError) -> None:
        """Tell who waits for it; what is not acknowledged goes back with the channel."""
        self._change_status(Status("stopped", reason))
        self._attached.errback(reason)

    def _cancelled(self, channel: IChannel) -> None:
        reason = ConsumerCancelled(f"the broker cancelled the consumer of {self.queue!r}")
        channel.close(reason).addErrback(lambda f: self._log.failure("closing", f))

    def _deliver(self, delivery: Delivery, channel: IChannel) -> None:
        self._ahead.append((delivery, channel))
        self._work()

    def _work(self) -> None:
        """Handle what is ahead, unless handlers of an earlier channel's deliveries still run.

        What is not begun when the consumer drains goes back with the channel.
        """
        if self._working:
            return  # a handler has ended at once: the loop below goes on
        self._working = True
        while self._ahead and self._in_hand < self._prefetch and not self._draining:
            self._handle(*self._ahead.popleft())
        self._working = False

    def _handle(self, delivery: Delivery, channel: IChannel) -> None:
        self._in_hand += 1
        handling = maybeDeferred(self._handler, delivery)
        handling.addCallbacks(
            lambda _: channel.ack(delivery.delivery_tag),
            lambda failure: self._refuse(failure, delivery, channel),
        )
        handling.addErrback(
            lambda failure: self._log.failure("answering {tag}", failure, tag=delivery.delivery_tag)
        )
        handling.addCallback(lambda _: self._put_down())

    def _refuse(self, failure: Failure, delivery: Delivery, channel: IChannel) -> None:
        if isinstance(failure.value, Reject):
            requeue = failure.value.requeue
        else:
            requeue = not delivery.redelivered
            fate = "requeued" if requeue else "rejected"
            if channel is not self._channel:
                fate = "back in its queue, with its channel"
            self._log.failure(
                "{consumer}: the handler failed; message {message_id} is {fate}",
                failure,
                consumer=self,
                message_id=delivery.message.message_id,
                fate=fate,
            )
        channel.nack(delivery.delivery_tag, requeue)

    def _put_down(self) -> None:
        self._in_hand -= 1
        self._work()
        self._look_whether_drained()

    def _look_whether_drained(self) -> None:
        if not self._in_hand:
            self._drained.callback(None)
