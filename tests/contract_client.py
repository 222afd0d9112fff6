"""A raw AMQP client for tests: it does what it is told, and keeps in order what it gets."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from pika import BasicProperties, frame, spec
from pika.data import encode_table
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import Protocol, connectionDone

from netdemo.frames import OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pika.amqp_object import Method
    from twisted.python.failure import Failure

CAPABILITIES = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}


HEAD = 7
"""Bytes of a frame before its payload."""


Kind = type | tuple[type, ...]


class Refused(Exception):
    """The broker closed a channel or a connection."""

    def __init__(self, close: Any) -> None:
        super().__init__(f"{close.reply_code} {close.reply_text}")
        self.reply_code: int = close.reply_code
        self.reply_text: str = close.reply_text
        self.class_id: int = close.class_id
        self.method_id: int = close.method_id


class ChannelRefused(Refused):
    """The broker closed a channel."""


class ConnectionRefused(Refused):
    """The broker closed the connection."""


class Lost(Exception):
    """The connection ended and the broker had not closed it."""


class Content(NamedTuple):
    """A method and what came with it; `header` is the payload of the content header as it came."""

    method: Any
    properties: BasicProperties
    body: bytes
    header: bytes


class Inbox:
    """What came, in order, until it is taken; `ended` is why nothing more comes."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.ended: Exception | None = None
        self._waiting: deque[tuple[Kind, Deferred[Any]]] = deque()

    def next(self, kind: Kind) -> Deferred[Any]:
        """Return the next that comes, a method or a `Content`; it must be a `kind`."""
        if self.received:
            return _only(kind, self.received.pop(0))
        if self.ended is not None:
            return fail(self.ended)
        waiting: Deferred[Any] = Deferred()
        self._waiting.append((kind, waiting))
        return waiting

    def refusal(self) -> Deferred[Refused]:
        """Fire with what the broker closes this for, which must be the next that it does."""
        return self.next(Refused).addErrback(_refusal)

    def put(self, item: Any) -> None:
        """Keep what came, or give it to the one who waits for it."""
        if self._waiting:
            kind, waiting = self._waiting.popleft()
            _only(kind, item).chainDeferred(waiting)
        else:
            self.received.append(item)

    def end(self, error: Exception) -> None:
        """Fail those who wait."""
        if self.ended is None:
            self.ended = error
            while self._waiting:
                self._waiting.popleft()[1].errback(error)


class Channel(Inbox):
    """One channel of a client."""

    def __init__(self, client: Client, number: int) -> None:
        super().__init__()
        self.client = client
        self.number = number
        self._calls: deque[tuple[str, Deferred[Any]]] = deque()
        self._confirmed: set[int] = set()
        self._method: Any = None
        self._header: Any = None
        self._payload = b""
        self._body = b""

    def send(self, method: Method) -> None:
        """Send a method."""
        self.client.send(method, self.number)

    def call(self, method: Method) -> Deferred[Any]:
        """Send a method and return the answer; it fails with `Refused`."""
        if self.ended is not None:
            return fail(self.ended)
        answer: Deferred[Any] = Deferred()
        self._calls.append((method.NAME, answer))
        self.send(method)
        return answer

    def refused(self, method: Method) -> Deferred[Refused]:
        """Send a method, and return what the broker closes the channel or connection for."""
        self.send(method)
        return self.refusal()

    def publish(
        self,
        exchange: str,
        routing_key: str | bytes,
        body: bytes = b"",
        properties: BasicProperties | None = None,
        mandatory: bool = False,
        immediate: bool = False,
    ) -> None:
        """Publish a message."""
        self.send(spec.Basic.Publish(0, exchange, routing_key, mandatory, immediate))
        self.send_content(body, properties)

    def send_content(self, body: bytes, properties: BasicProperties | None = None) -> None:
        """Send a content header, and the body in as few frames as can be."""
        header = frame.Header(self.number, len(body), properties or BasicProperties())
        size = (self.client.frame_max or 131072) - OVERHEAD
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        bodies = [frame.Body(self.number, part).marshal() for part in parts]
        self.client.write(header.marshal() + b"".join(bodies))

    async def get(self, queue: str = "", no_ack: bool = True) -> Content | None:
        """Take a message from a queue, ``None`` when there is none."""
        answer = await self.call(spec.Basic.Get(0, queue, no_ack))
        return answer if isinstance(answer, Content) else None

    async def confirms(self, count: int) -> dict[int, bool]:
        """Return for the next `count` messages that the broker tells of whether it took them."""
        told: dict[int, bool] = {}
        while len(told) < count:
            method = await self.next((spec.Basic.Ack, spec.Basic.Nack))
            last = method.delivery_tag
            tags = set(range(1 if method.multiple else last, last + 1)) - self._confirmed
            told.update(dict.fromkeys(tags, isinstance(method, spec.Basic.Ack)))
            self._confirmed |= tags
        return told

    async def close(self) -> None:
        """Close the channel."""
        await self.call(spec.Channel.Close(200, "done", 0, 0))
        self.end(Lost("the test has closed the channel"))

    def arrived(self, value: Any, data: bytes) -> None:
        """Take a frame, decoded and as it came."""
        if isinstance(value, frame.Method):
            self._arrived_method(value.method)
            return
        if isinstance(value, frame.Header):
            self._header, self._payload, self._body = value, data[HEAD:-1], b""
        else:
            self._body += value.fragment
        if len(self._body) == self._header.body_size:
            properties = self._header.properties
            self._answer(Content(self._method, properties, self._body, self._payload))

    def end(self, error: Exception) -> None:
        super().end(error)
        while self._calls:
            self._calls.popleft()[1].errback(error)

    def _arrived_method(self, method: Any) -> None:
        if isinstance(method, spec.Channel.Close):
            self.send(spec.Channel.CloseOk())
            self.end(ChannelRefused(method))
        elif spec.has_content(method.INDEX):
            self._method = method
        else:
            self._answer(method)

    def _answer(self, item: Any) -> None:
        name = _method(item).NAME
        if not self._calls or not name.endswith(("Ok", "Empty")):
            self.put(item)
            return
        called, answer = self._calls.popleft()
        if name in (f"{called}Ok", f"{called}Empty"):
            answer.callback(item)
        else:
            answer.errback(AssertionError(f"{item} came for {called}"))


class Client(Protocol):
    """One connection.

    A `response` is sent as it is, in place of `user` and `password`. What the broker offers is
    agreed to unless `frame_max`, `channel_max` or `heartbeat` say otherwise.
    """

    def __init__(
        self,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        mechanism: str = "PLAIN",
        response: bytes | None = None,
        capabilities: Mapping[str, bool] = CAPABILITIES,
        heartbeat: int = 0,
        frame_max: int | None = None,
        channel_max: int | None = None,
    ) -> None:
        self.vhost = vhost
        self.mechanism = mechanism
        self.response = plain(user, password) if response is None else response
        self.capabilities = dict(capabilities)
        self.heartbeat = heartbeat
        self.frame_max = frame_max
        self.channel_max = channel_max
        self.connection = Inbox()
        self.channels: dict[int, Channel] = {}
        self.heartbeats = 0
        self.lost: Deferred[None] = Deferred()
        self._unread = b""

    async def shake_hands(self) -> None:
        """Open the connection."""
        await self.start()
        self.send(await self.tuned())
        self.send(spec.Connection.Open(self.vhost))
        await self.connection.next(spec.Connection.OpenOk)

    async def start(self) -> spec.Connection.Start:
        """Send the protocol header and the login; return what the broker began with."""
        self.write(b"AMQP\x00\x00\x09\x01")
        start = await self.connection.next(spec.Connection.Start)
        properties = {"product": "contract", "capabilities": self.capabilities}
        login = spec.Connection.StartOk(properties, self.mechanism, "", "en_US")
        login.response = self.response
        self.send(login)
        return start  # type: ignore[no-any-return]

    async def tuned(self) -> spec.Connection.TuneOk:
        """Return the answer to what the broker offers."""
        offer = await self.connection.next(spec.Connection.Tune)
        if self.frame_max is None:
            self.frame_max = offer.frame_max
        if self.channel_max is None:
            self.channel_max = offer.channel_max
        return spec.Connection.TuneOk(self.channel_max, self.frame_max, self.heartbeat)

    async def open_channel(self, number: int | None = None) -> Channel:
        """Open a channel, the first that is free unless it has a `number`."""
        if number is None:
            number = next(each for each in range(1, 65536) if each not in self.channels)
        channel = self.channels[number] = Channel(self, number)
        await channel.call(spec.Channel.Open())
        return channel

    def send(self, method: Method, channel: int = 0) -> None:
        """Send a method."""
        self.write(frame.Method(channel, method).marshal())

    def write(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        assert self.transport is not None
        self.transport.write(data)

    def heartbeat_now(self) -> None:
        """Send a heartbeat."""
        self.write(frame.Heartbeat().marshal())

    async def close(self) -> None:
        """End the connection, politely if the broker has not ended it; return when it is gone."""
        if self.connection.ended is None:
            self.send(spec.Connection.Close(200, "done", 0, 0))
            self.end(Lost("the test has closed the connection"))
        elif not self.lost.called:
            self.abort()
        await self.lost

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.end(Lost("the test has dropped the connection"))
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def end(self, error: Exception) -> None:
        """Fail all who wait."""
        self.connection.end(error)
        for channel in self.channels.values():
            channel.end(error)

    def dataReceived(self, data: bytes) -> None:
        self._unread += data
        while self._unread:
            size, value = frame.decode_frame(self._unread)
            if value is None:
                break
            data, self._unread = self._unread[:size], self._unread[size:]
            self._arrived(value, data)

    def connectionLost(self, _: Failure = connectionDone) -> None:
        self.end(Lost("the connection was lost"))
        self.lost.callback(None)

    def _arrived(self, value: Any, data: bytes) -> None:
        if isinstance(value, frame.Heartbeat):
            self.heartbeats += 1
        elif isinstance(value, frame.ProtocolHeader):
            self.connection.put(data)
        elif value.channel_number in self.channels:
            self.channels[value.channel_number].arrived(value, data)
        elif isinstance(value.method, spec.Connection.Close):
            self.send(spec.Connection.CloseOk())
            self.end(ConnectionRefused(value.method))
        elif isinstance(value.method, spec.Connection.CloseOk):
            assert self.transport is not None
            self.transport.loseConnection()
        else:
            self.connection.put(value.method)


def plain(user: str, password: str) -> bytes:
    """Return a response for the mechanism PLAIN."""
    return f"\0{user}\0{password}".encode()


def amqplain(user: str, password: str) -> bytes:
    """Return a response for the mechanism AMQPLAIN: a table without its length."""
    pieces: list[bytes] = []
    encode_table(pieces, {"LOGIN": user, "PASSWORD": password})
    return b"".join(pieces)[4:]


def _method(item: Any) -> Any:
    return item.method if isinstance(item, Content) else item


def _only(kind: Kind, item: Any) -> Deferred[Any]:
    if isinstance(_method(item), kind):
        return succeed(item)
    return fail(AssertionError(f"{item} came, not {kind}"))


def _refusal(failure: Failure) -> Refused:
    failure.trap(Refused)
    error = failure.value
    assert isinstance(error, Refused)
    return error
