"""What a channel publishes: contents put together, routed, confirmed and returned."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from pika import spec

from netdemo.broker.arguments import parse_expiration
from netdemo.broker.dead_letters import copies
from netdemo.broker.message import Message
from netdemo.broker.permissions import EXCHANGE
from netdemo.broker.properties import (
    BASIC,
    START,
    encode_short_string,
    join_table,
    short_string,
    split_header,
    split_table,
)
from netdemo.broker.queues import Taken
from netdemo.broker.replies import REPLY_TO
from netdemo.broker.tables import field, read_table
from netdemo.broker.wire import (
    Publish,
    raw,
    read_publish,
    text,
    unfit_frame,
    unknown_frame,
    write_ack,
    write_content,
)
from netdemo.errors import (
    AccessRefused,
    PreconditionFailed,
    SyntaxRefused,
    UnexpectedFrame,
    Unimplemented,
)
from netdemo.frames import BODY, HEADER, METHOD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from netdemo.broker.channel import Channel
    from netdemo.broker.queues import Queue

MAX_MESSAGE: Final = 128 * 1024 * 1024
"""Bytes of the largest body that is taken, as RabbitMQ has it."""

_NO_HEADER: Final = "expected content header for class 60, got non content header frame instead"
_TRANSIENT: Final = b"\x01"
_PERSISTENT: Final = b"\x02"
_NO_ROUTE: Final = 312


class Publishing:
    """The publisher's side of ``channel``."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._publish: Publish | None = None
        self._header: bytes | None = None
        self._missing = 0
        self._body: bytes | bytearray = b""
        """What has come of it: in one piece, since small ones cost many times what they hold."""
        self.confirming = False
        self._last_tag = 0
        self._storing: list[int] = []
        """Those that are on their way to the disk since what arrives now has arrived."""
        self._unconfirmed: OrderedDict[int, None] = OrderedDict()
        """Those that wait for any commit, in order."""
        self._confirmed: list[int] = []
        """Those to be told to the client when all that has arrived is dealt with."""
        self.transaction: list[tuple[Message, bool, Collection[Queue]]] | None = None
        """Messages until the commit, whether they are mandatory, and where they go."""

    @property
    def in_content(self) -> bool:
        """Whether a content is expected."""
        return self._publish is not None

    def begin(self, payload: bytes) -> None:
        """Take a ``basic.publish``; its content comes next."""
        self._publish = read_publish(payload)

    def take(self, kind: int, payload: bytes) -> None:
        """Take a frame of the content.

        :raises UnexpectedFrame: for another one.
        """
        if kind not in (METHOD, HEADER, BODY):
            raise unfit_frame(kind, self._channel.number, payload)
        if self._header is None:
            if kind != HEADER:
                raise UnexpectedFrame(_NO_HEADER)
            self._take_header(payload)
        elif kind == BODY:
            self._take_body(payload)
        else:
            raise UnexpectedFrame("expected content body, got non content body frame instead")
        if not self._missing:
            self._finish()

    def _take_header(self, payload: bytes) -> None:
        if len(payload) < START.size:
            raise unknown_frame(HEADER, payload)
        class_id, weight, size, _ = START.unpack_from(payload)
        if weight:
            raise UnexpectedFrame(_NO_HEADER)
        if class_id != BASIC:
            raise UnexpectedFrame(
                f"expected content header for class 60, got one for class {class_id} instead"
            )
        if size > MAX_MESSAGE:
            self._forget()
            raise PreconditionFailed(
                f"message size {size} is larger than configured max size {MAX_MESSAGE}"
            )
        self._channel.connection.expect_content(size)
        self._header = payload
        self._missing = size

    def _take_body(self, payload: bytes) -> None:
        if len(payload) > self._missing:
            raise SyntaxRefused(f"a body of {len(payload) - self._missing} bytes too many")
        self._missing -= len(payload)
        if not self._body:
            self._body = payload
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += payload

    def _finish(self) -> None:
        publish, header = self._publish, self._header
        assert publish is not None
        assert header is not None
        body = bytes(self._body)  # no copy of what came in one frame
        self._forget()
        message, keys = self._read(publish, header, body)
        if publish.exchange == "":  # also in a transaction, which RabbitMQ does not wait for
            self._channel.broker.replies.deliver(message, keys)
        vhost = self._channel.vhost
        queues = vhost.route(vhost.exchange(publish.exchange), message, keys)
        if self.transaction is not None:
            self.transaction.append((message, publish.mandatory, queues))
            self._channel.broker.memory.hold(message)
            return
        tag = self._next_tag()
        stored, refused = self._send(message, publish.mandatory, queues)
        if tag:
            self._answer(tag, stored, refused)

    def _forget(self) -> None:
        if self._header is not None:
            self._channel.connection.content_ended(START.unpack_from(self._header)[2])
        self._publish = self._header = None
        self._missing = 0
        self._body = b""

    def _next_tag(self) -> int:
        if not self.confirming:
            return 0
        self._last_tag += 1
        return self._last_tag

    def _read(self, publish: Publish, header: bytes, body: bytes) -> tuple[Message, list[str]]:
        """Return the message, and the routing keys that it has."""
        channel = self._channel
        if publish.immediate:
            raise Unimplemented("immediate=true")
        channel.access.check_write(EXCHANGE, publish.exchange)
        if channel.vhost.exchange(publish.exchange).internal:
            raise AccessRefused(
                f"cannot publish to internal exchange '{publish.exchange}' "
                f"in vhost '{channel.vhost.name}'"
            )
        values = split_header(header)
        keys = [publish.routing_key]
        if values.keys() & _SPECIAL:
            header = self._read_special(values, keys, header)
        expiration = values.get("expiration")
        return Message(
            publish.exchange,
            publish.routing_key,
            header,
            body,
            _is_persistent(values),
            values["priority"][0] if "priority" in values else 0,
            None if expiration is None else parse_expiration(text(short_string(expiration))),
        ), keys

    def _read_special(self, values: dict[str, bytes], keys: list[str], header: bytes) -> bytes:
        """Heed properties that are more than passed on; return the header that is.

        Values may change, but which there are, and their order, does not.
        """
        channel = self._channel
        if (user_id := values.get("user_id")) is not None:
            channel.check_user_id(text(short_string(user_id)))
        changed = False
        if "reply_to" in values and text(short_string(values["reply_to"])) == REPLY_TO:
            values["reply_to"] = encode_short_string(raw(channel.reply_name()))
            changed = True
        if "headers" in values:
            headers = split_table(values["headers"])
            for name in (b"CC", b"BCC"):
                _check_copies(headers, name)
                keys += copies(headers, name)
            if headers.pop(b"BCC", None) is not None:
                values["headers"] = join_table(headers)
                changed = True
        return header[: START.size] + b"".join(values.values()) if changed else header

    def _send(
        self, message: Message, mandatory: bool, queues: Collection[Queue]
    ) -> tuple[bool, bool]:
        """Push a message; return whether it goes to the disk, and whether a queue refused it."""
        if mandatory and not queues:
            self._return(message)
        stored = refused = False
        for queue in queues:
            taken = queue.push(message)
            if taken is Taken.STORED:
                stored = True
            elif taken is Taken.REFUSED:
                refused = True
        return stored, refused

    def _answer(self, tag: int, stored: bool, refused: bool) -> None:
        """Nack a message, or ack it when it is safe."""
        if refused:
            self._channel.send(spec.Basic.Nack(tag, requeue=False))
            return
        if stored:
            self._unconfirmed[tag] = None
            self._storing.append(tag)
        else:
            self._confirmed.append(tag)
        self._channel.flush_later()

    def _return(self, message: Message) -> None:
        channel = self._channel
        returned = spec.Basic.Return(_NO_ROUTE, "NO_ROUTE", message.exchange, message.routing_key)
        channel.send(returned)
        channel.write(write_content(channel.number, message, channel.connection.frame_max))

    def _on_disk(self, tags: list[int]) -> None:
        for tag in tags:
            del self._unconfirmed[tag]
        self._confirmed += tags
        self._channel.flush_later()

    def flush(self) -> None:
        """Confirm what can be confirmed, with as few acks as can be."""
        channel = self._channel
        if self._storing:
            tags, self._storing = self._storing, []
            assert channel.broker.store is not None
            channel.broker.store.on_disk(lambda: channel.broker.turns.run(self._on_disk, tags))
        confirmed, self._confirmed = self._confirmed, []
        if not confirmed:
            return
        first_open = next(iter(self._unconfirmed), self._last_tag + 1)
        low = [tag for tag in confirmed if tag < first_open]
        if low:
            channel.write(write_ack(channel.number, max(low), len(low) > 1))
        for tag in confirmed:
            if tag > first_open:
                channel.write(write_ack(channel.number, tag, False))

    def select_confirms(self, method: Any) -> None:
        """Answer every publish from now on (``confirm.select``)."""
        if self.transaction is not None:
            raise PreconditionFailed("cannot switch from tx to confirm mode")
        self.confirming = True
        self._channel.answer(method, spec.Confirm.SelectOk())

    def select_transaction(self, _: Any) -> None:
        """Keep what is published until it is committed (``tx.select``)."""
        if self.confirming:
            raise PreconditionFailed("cannot switch from confirm to tx mode")
        if self.transaction is None:
            self.transaction = []
        self._channel.send(spec.Tx.SelectOk())

    def commit(self, committed: Callable[[], None]) -> None:
        """Publish what was kept; call ``committed`` when it is safe.

        Queues are those that were bound when a message came, if they are still there.

        :raises PreconditionFailed: if a queue refused some of it.
        """
        kept = self.transaction or ()
        self.transaction = []
        named = self._channel.vhost.queues
        any_stored = any_refused = False
        for message, mandatory, queues in kept:
            there = [named[queue.name] for queue in queues if queue.name in named]
            stored, refused = self._send(message, mandatory, there)
            any_stored |= stored
            any_refused |= refused
            self._channel.broker.memory.release(message)
        if any_refused:
            raise PreconditionFailed("partial tx completion")
        broker = self._channel.broker
        if any_stored:
            assert broker.store is not None
            broker.store.on_disk(lambda: broker.turns.run(committed))
        else:
            committed()

    def roll_back(self) -> None:
        """Forget what was published since the last commit."""
        if self.transaction:
            for message, _, _ in self.transaction:
                self._channel.broker.memory.release(message)
            self.transaction = []

    def end(self) -> None:
        """Forget what is not complete or not committed: the channel has ended."""
        self._forget()
        self.roll_back()

    def methods(self) -> dict[type, Callable[[Any], None]]:
        """Return what it does for which methods."""
        return {
            spec.Confirm.Select: self.select_confirms,
            spec.Tx.Select: self.select_transaction,
        }


_SPECIAL: Final = frozenset({"user_id", "reply_to", "headers"})


def _is_persistent(values: dict[str, bytes]) -> bool:
    mode = values.get("delivery_mode", _TRANSIENT)
    if mode not in (_TRANSIENT, _PERSISTENT):
        raise PreconditionFailed(f"invalid message: {{delivery_mode_unknown,{mode[0]}}}")
    return mode == _PERSISTENT


def _check_copies(headers: dict[bytes, bytes], name: bytes) -> None:
    """Refuse routing keys that are no array."""
    value = headers.get(name)
    if value is not None and not value.startswith(b"A"):
        kind = field(read_table(join_table({name: value}))[name.decode()])[0]
        raise PreconditionFailed(
            f'invalid message: {{unacceptable_type_in_header,"{name.decode()}",{kind}}}'
        )
