"""Whether what says nothing of AMQP is a server of HTTP, which waits to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone

if TYPE_CHECKING:
    from twisted.python.failure import Failure

REQUEST: Final = b"HEAD / HTTP/1.0\r\n\r\n"
ANSWER: Final = b"HTTP/"


class HTTPQuestion(Protocol):
    """Sends the shortest request; `answered` fires with whether the answer is one of HTTP.

    Cancelling it ends the connection.
    """

    transport: Any

    def __init__(self) -> None:
        self.answered: Deferred[bool] = Deferred(lambda _: self.transport.abortConnection())
        self._received = b""

    def connectionMade(self) -> None:
        self.transport.write(REQUEST)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= len(ANSWER):
            self._answer(self._received.startswith(ANSWER))
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._answer(False)

    def _answer(self, is_http: bool) -> None:
        if not self.answered.called:
            self.answered.callback(is_http)
