"""A channel on a blocking socket, on pika's codec: next to nothing beside what a broker takes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from pika import BasicProperties, frame, spec

from netdemo.frames import METHOD, FrameReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.amqp_object import Method

FRAME_MAX: Final = 131072
_PIECE: Final = 65536


class SocketChannel:
    """Channel 1 of a connection to the broker on a port of this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._frames = self._arriving()
        self._socket.sendall(frame.ProtocolHeader().marshal())
        self._expect(spec.Connection.Start)
        login = spec.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")
        self._call(login, spec.Connection.Tune, 0)
        self.send(_encoded(spec.Connection.TuneOk(2047, FRAME_MAX, 0), 0))
        self._call(spec.Connection.Open("/"), spec.Connection.OpenOk, 0)
        self.call(spec.Channel.Open(), spec.Channel.OpenOk)

    def send(self, data: bytes) -> None:
        """Send frames."""
        self._socket.sendall(data)

    def call(self, method: Method, answer: Any) -> None:
        """Send a method; return when its answer has come."""
        self._call(method, answer, 1)

    def delivery(self) -> tuple[bytes, bytes, bytes]:
        """Return the payloads of method, header and body of the next delivery."""
        return next(self._frames)[2], next(self._frames)[2], next(self._frames)[2]

    def close(self) -> None:
        """End the connection."""
        self._call(spec.Connection.Close(200, "", 0, 0), spec.Connection.CloseOk, 0)
        self._socket.close()

    def _call(self, method: Method, answer: Any, channel: int) -> None:
        self.send(_encoded(method, channel))
        self._expect(answer)

    def _expect(self, answer: Any) -> None:
        kind, _, payload = next(self._frames)
        if kind != METHOD or payload[:4] != answer.INDEX.to_bytes(4, "big"):
            raise ValueError(f"not {answer.NAME}: {payload!r}")

    def _arriving(self) -> Iterator[tuple[int, int, bytes]]:
        reader = FrameReader()
        while data := self._socket.recv(_PIECE):
            yield from reader.frames(data, FRAME_MAX)


def publish(routing_key: str, properties: BasicProperties, body: bytes) -> bytes:
    """Return the frames of a message to a queue."""
    method = _encoded(spec.Basic.Publish(routing_key=routing_key), 1)
    header = frame.Header(1, len(body), properties).marshal()
    return method + header + frame.Body(1, body).marshal()


def ack(delivery_tag: int) -> bytes:
    """Return the frame of an acknowledgement."""
    return _encoded(spec.Basic.Ack(delivery_tag), 1)


def properties_of(header: bytes) -> BasicProperties:
    """Decode the payload of a content header."""
    properties: Any = BasicProperties()
    properties.decode(header, 12)
    return properties  # type: ignore[no-any-return]


def _encoded(method: Method, channel: int) -> bytes:
    encoded: bytes = frame.Method(channel, method).marshal()
    return encoded
