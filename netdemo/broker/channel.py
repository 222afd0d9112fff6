"""One channel of a connection: which method goes where, and what a refusal ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import spec

from netdemo.broker.declaring import Declaring
from netdemo.broker.delivering import Delivering
from netdemo.broker.publishing import Publishing
from netdemo.broker.wire import (
    ACK,
    BASIC_PUBLISH,
    PUBLISH,
    method_of,
    read_method,
    shortened,
    unfit_frame,
    write_method,
)
from netdemo.errors import (
    ChannelMisused,
    CommandInvalid,
    FrameRefused,
    NotFound,
    PreconditionFailed,
    Refusal,
    ResourceLocked,
    TextRefused,
    Unimplemented,
)
from netdemo.frames import METHOD

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.amqp_object import Method

    from netdemo.broker.connection import Connection
    from netdemo.broker.queues import Queue


class Channel:
    """Channel `number` of `connection`; see `netdemo.broker.consumers.Receiver`."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.broker = connection.broker
        self.vhost = connection.vhost
        self.access = connection.access
        self._closing = False
        self._publishing = Publishing(self)
        self._delivering = Delivering(self)
        self._declaring = Declaring(self)
        self.has_room = self._delivering.has_room
        self.deliver = self._delivering.deliver
        self.cancelled = self._delivering.cancelled
        self.wake = self._delivering.wake
        self.reply_name = self._delivering.reply_name
        self.flush = self._publishing.flush
        self._methods: dict[type, Callable[[Any], None]] = {
            **self._publishing.methods(),
            **self._delivering.methods(),
            **self._declaring.methods(),
            spec.Tx.Commit: self._commit,
            spec.Tx.Rollback: self._roll_back,
            spec.Channel.Flow: self._flow,
            spec.Channel.Close: self._closed_by_peer,
            spec.Access.Request: lambda _: self.send(spec.Access.RequestOk(ticket=1)),
        }

    @property
    def transaction(self) -> object:
        """What is kept until a commit; ``None`` outside transactions."""
        return self._publishing.transaction

    def take(self, kind: int, payload: bytes) -> None:
        """Take a frame; a refusal that is the channel's alone closes it.

        :raises Refusal: for one that ends the connection.
        """
        if self._closing:
            self._take_while_closing(kind, payload)
            return
        in_content = self._publishing.in_content
        try:
            if in_content:
                self._publishing.take(kind, payload)
            else:
                self._take(kind, payload)
        except Refusal as refusal:
            refusal.subject = _subject(refusal, in_content, kind, payload)
            if refusal.closes_connection:
                raise
            self._refuse(refusal)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind != METHOD:
            raise unfit_frame(kind, self.number, payload)
        if payload.startswith(PUBLISH):
            self.connection.publishes()
            self._publishing.begin(payload)
        elif payload.startswith(ACK):
            self._delivering.ack(payload)
        else:
            method = read_method(payload)
            take = self._methods.get(type(method))
            if take is None:
                raise _unfit(method)
            take(method)

    def answer(self, method: Any, answer: Method) -> None:
        """Answer ``method``, unless it wants no answer."""
        if not method.nowait:
            self.send(answer)

    def send(self, method: Method) -> None:
        """Send a method."""
        self.write(write_method(self.number, method))

    def write(self, data: bytes) -> None:
        """Send frames, unless the channel closes."""
        if not self._closing:
            self.connection.write(data)

    def flush_later(self) -> None:
        """Have `flush` called when all that has arrived is dealt with."""
        self.broker.turns.flush_later(self)

    def queue_name(self, name: str) -> str:
        """Return the name of a queue, which is that declared last for an empty one."""
        if name:
            return name
        if not self._declaring.last_queue:
            raise NotFound("no previously declared queue")
        return self._declaring.last_queue

    def check_exclusive(self, queue: Queue) -> None:
        """Refuse a queue that is another connection's."""
        if queue.owner not in (None, self.connection):
            raise self.locked(queue)

    def locked(self, queue: Queue) -> ResourceLocked:
        """Return the refusal of a queue that is exclusive, or of making it so."""
        return ResourceLocked(
            f"cannot obtain exclusive access to locked queue '{queue.name}' in vhost "
            f"'{self.vhost.name}'. It could be originally declared on another connection or "
            "the exclusive property value does not match that of the original declaration."
        )

    def check_user_id(self, name: str) -> None:
        """Refuse a message in another user's name."""
        if name != self.access.user:
            raise PreconditionFailed(
                f"user_id property set to '{name}' but authenticated user was '{self.access.user}'"
            )

    def close(self, refusal: Refusal) -> None:
        """Close the channel for a reason of the broker's own."""
        if not self._closing:
            self._refuse(refusal)

    def end(self) -> None:
        """Give back what it holds, and forget what is not committed."""
        self._closing = True
        self._publishing.end()
        self._delivering.end()

    def _commit(self, _: Any) -> None:
        self._check_transaction()
        self._delivering.commit()
        self._publishing.commit(lambda: self.send(spec.Tx.CommitOk()))

    def _roll_back(self, _: Any) -> None:
        self._check_transaction()
        self._delivering.roll_back()
        self._publishing.roll_back()
        self.send(spec.Tx.RollbackOk())

    def _check_transaction(self) -> None:
        if self.transaction is None:
            raise PreconditionFailed("channel is not transactional")

    def _flow(self, method: Any) -> None:
        if not method.active:
            raise Unimplemented("active=false")
        self.send(spec.Channel.FlowOk(active=True))

    def _closed_by_peer(self, _: Any) -> None:
        self.flush()
        self.send(spec.Channel.CloseOk())
        self.end()
        self.connection.channel_ended(self)

    def _refuse(self, refusal: Refusal) -> None:
        """Close the channel; what the peer sends until it knows is not heeded."""
        self.flush()
        text = shortened(refusal.reply_text)
        self.send(spec.Channel.Close(refusal.reply_code, text, *refusal.subject))
        self.end()

    def _take_while_closing(self, kind: int, payload: bytes) -> None:
        if kind != METHOD:
            return
        method = read_method(payload)
        if isinstance(method, spec.Channel.Close):
            self.connection.write(write_method(self.number, spec.Channel.CloseOk()))
        elif isinstance(method, spec.Channel.CloseOk):
            self.connection.channel_ended(self)


def _subject(refusal: Refusal, in_content: bool, kind: int, payload: bytes) -> tuple[int, int]:
    """Return class and method of what was refused."""
    if kind == METHOD and not in_content and not isinstance(refusal, TextRefused):
        return method_of(payload)
    return BASIC_PUBLISH if in_content and not isinstance(refusal, FrameRefused) else (0, 0)


def _unfit(method: Any) -> Refusal:
    if isinstance(method, spec.Channel.Open):
        return ChannelMisused("second 'channel.open' seen")
    return CommandInvalid("unimplemented method")
