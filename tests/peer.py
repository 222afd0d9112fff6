"""The broker's end of an AMQP session in memory: a script of real frames, one at a time.

It knows nothing of AMQP but the codec, and answers nothing by itself: a test says what comes over
the wire, in which order, and looks at what was sent.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import pika
from pika import frame, spec
from pika.connection import URLParameters
from twisted.internet.task import Clock

from netdemo.amqp.session import Session
from tests.decoding import frames_in
from tests.tidy import TidyTestCase
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.amqp_object import Method
    from twisted.internet.testing import MemoryReactorClock

    from netdemo.amqp.interfaces import IChannel

M = TypeVar("M", bound="Method")

SERVER_PROPERTIES = {
    "capabilities": {
        "authentication_failure_close": True,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "publisher_confirms": True,
    }
}


AGREEMENTS: dict[type, Callable[[], Method]] = {
    spec.Channel.Open: spec.Channel.OpenOk,
    spec.Channel.Close: spec.Channel.CloseOk,
    spec.Confirm.Select: spec.Confirm.SelectOk,
    spec.Basic.Qos: spec.Basic.QosOk,
    spec.Exchange.Declare: spec.Exchange.DeclareOk,
    spec.Exchange.Bind: spec.Exchange.BindOk,
    spec.Queue.Bind: spec.Queue.BindOk,
    spec.Queue.Delete: lambda: spec.Queue.DeleteOk(0),
}


class Peer:
    """What a session's connection looks like from the broker's end."""

    made: ClassVar[list[Peer]] = []
    """Those of the test that runs."""

    def __init__(self, session: Session | None = None, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.session = session or Session(URLParameters("amqp://"), self.clock)
        self.wire = Wire(self.session)
        self._unread = b""
        self.agreed: list[Any] = []
        self._names = count(1)

    def connect(self) -> Peer:
        """Make the connection; the client's protocol header is read."""
        self.session.makeConnection(self.wire)
        assert self.wire.value() == b"AMQP\x00\x00\x09\x01"
        self.wire.clear()
        return self

    def shake_hands(self) -> Peer:
        """Make the connection and let the client in."""
        return self.connect().let_in()

    def let_in(self) -> Peer:
        """Go through the handshake as a broker that agrees to everything."""
        self.send(spec.Connection.Start(server_properties=SERVER_PROPERTIES))
        self.expect(spec.Connection.StartOk)
        self.send(spec.Connection.Tune(channel_max=2047, frame_max=131072, heartbeat=0))
        self.expect(spec.Connection.TuneOk)
        self.expect(spec.Connection.Open)
        self.send(spec.Connection.OpenOk())
        return self

    def open_channel(self) -> IChannel:
        """Let the session open its next channel."""
        opening = self.session.open_channel()
        opened: list[IChannel] = []
        opening.addCallback(opened.append)
        number = self.expect_frame(spec.Channel.Open).channel_number
        self.send(spec.Channel.OpenOk(), channel=number)
        return opened[0]

    def agree(self) -> list[Any]:
        """Answer what the client asks until it asks no more; return all methods that it sent.

        All frames, those of contents too, are kept in `agreed`.
        """
        asked: list[Any] = []
        while frames := self.received():
            self.agreed += frames
            for each in frames:
                if each.NAME == "METHOD":
                    asked.append(each.method)
                    self._agree(each.method, each.channel_number)
        return asked

    def _agree(self, method: Any, channel: int) -> None:
        if isinstance(method, spec.Basic.Consume):
            self.send(spec.Basic.ConsumeOk(method.consumer_tag), channel=channel)
        elif isinstance(method, spec.Basic.Cancel):
            self.send(spec.Basic.CancelOk(method.consumer_tag), channel=channel)
        elif isinstance(method, spec.Queue.Declare):
            name = method.queue or f"amq.gen-{next(self._names)}"
            self.send(spec.Queue.DeclareOk(name, 0, 0), channel=channel)
        elif isinstance(method, spec.Connection.Close):
            self.send(spec.Connection.CloseOk())
            self.wire.end()
        elif (agreement := AGREEMENTS.get(type(method))) is not None:
            self.send(agreement(), channel=channel)

    def send(self, method: Method, *, channel: int = 0) -> None:
        """Send one method."""
        self.session.dataReceived(frame.Method(channel, method).marshal())

    def send_content(
        self, method: Method, properties: pika.BasicProperties, body: bytes, *, channel: int = 1
    ) -> None:
        """Send a method with a header and, unless it is empty, a body."""
        data = frame.Method(channel, method).marshal()
        data += frame.Header(channel, len(body), properties).marshal()
        if body:
            data += frame.Body(channel, body).marshal()
        self.session.dataReceived(data)

    def send_header(self, *, channel: int = 1, body_size: int = 0) -> None:
        """Send the header of a content, and nothing before or after it."""
        header = frame.Header(channel, body_size, pika.BasicProperties())
        self.session.dataReceived(header.marshal())

    def received(self) -> list[Any]:
        """Return the frames that the client has sent since this was asked last."""
        data, self._unread = self._unread + self.wire.value(), b""
        self.wire.clear()
        return frames_in(data)

    def expect_frame(self, method: type[Method]) -> Any:
        """Return the next frame from the client; it must hold `method`."""
        first, *rest = self.received()
        self._unread = b"".join(each.marshal() for each in rest)
        assert isinstance(first.method, method), first
        return first

    def expect(self, method: type[M]) -> M:
        """Return the next method from the client; it must be `method`."""
        return cast("M", self.expect_frame(method).method)


class PeerTestCase(TidyTestCase):
    """A test with sessions that leave no DelayedCall behind when they have ended."""

    def run(self, result: Any = None) -> Any:
        """Run the test."""
        Peer.made.clear()
        return super().run(result)

    def tidy(self) -> None:
        """Find what the test has left."""
        for peer in Peer.made:
            peer.session.opened.addErrback(lambda _: None)
            if peer.session.transport is not None:
                peer.wire.end()
            self.assertEqual(peer.clock.getDelayedCalls(), [])
        Peer.made.clear()
        super().tidy()


def connected(reactor: MemoryReactorClock) -> Peer:
    """Let the latest attempt to connect succeed; return the broker's end of it."""
    reactor.advance(0)
    outer: Any = reactor.tcpClients[-1][2].buildProtocol(None)
    session = outer
    while not isinstance(session, Session):  # endpoints wrap what they connect
        session = session._wrappedProtocol
    peer = Peer(session, reactor)
    outer.makeConnection(peer.wire)
    peer.wire.clear()
    return peer
