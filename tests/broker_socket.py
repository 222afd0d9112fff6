"""A client of a broker on a blocking socket, which sends what it likes and reads frame by frame."""

from __future__ import annotations

import contextlib  # trial takes a name `suppress` for its own
import socket
from typing import TYPE_CHECKING, Any

from pika import frame, spec

from netdemo.broker.wire import write_method
from tests.broker_peer import GREETING
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from pika.amqp_object import Method

PIECE = 1 << 16
"""Bytes that are read at once."""


class BrokerSocket:
    """A connection to 127.0.0.1; closed when its context ends."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def shake_hands(self, *channels: int) -> Self:
        """Open the connection and channels with these numbers."""
        self.send(GREETING)
        self.read(spec.Connection.OpenOk)
        for number in channels:
            self.call(spec.Channel.Open(), spec.Channel.OpenOk, number)
        return self

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def call(self, method: Method, answer: type, channel: int = 1) -> Any:
        """Send a method; return the first `answer` that comes."""
        self.send(write_method(channel, method))
        return self.read(answer)

    def read(self, kind: type) -> Any:
        """Return the next method of this kind; what comes before it is dropped."""
        for each in self.frames():
            if each.NAME == "METHOD" and isinstance(each.method, kind):
                return each.method
        raise ConnectionError(f"the broker ended the connection before a {kind.__qualname__} came")

    def frames(self) -> Iterator[Any]:
        """Yield frames until the connection ends."""
        while True:
            size, value = frame.decode_frame(self._unread)
            self._unread = self._unread[size:]
            if value is not None:
                yield value
                continue
            data = b""
            with contextlib.suppress(ConnectionError):
                data = self.socket.recv(PIECE)
            if not data:
                return
            self._unread += data
