"""Every exception of netdemo.

The text of each is one line for people: what failed, the offending value, what was expected.
Where AMQP 0-9-1 has a reply code for it (section 1.2, "Constants"), it is on the class or the
instance as ``reply_code``, and ``reply_text`` is the broker's own wording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate

    from netdemo.amqp.message import Message
    from netdemo.amqp.topology import Item


class NetdemoError(Exception):
    """Anything that netdemo reports about the world outside the program."""


class StartupError(NetdemoError, SystemExit):
    """A service can't start; when nobody catches it the process prints its line and exits with 1.

    It is a ``SystemExit`` so that Python prints the line and no traceback, and an ``Exception`` so
    that twistd still removes its PID file on the way out.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code: str | int = text


class AddressError(NetdemoError, ValueError):
    """A destination or a server's address, in text, that can't be understood."""


class ConfigError(NetdemoError, ValueError):
    """A file of settings that can't be used; each of `errors` is one line about it."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)


class CertificateRefused(NetdemoError):
    """A server's `certificate` is not accepted."""

    def __init__(self, text: str, certificate: Certificate | None = None) -> None:
        super().__init__(text)
        self.certificate = certificate


class CertificateUntrusted(CertificateRefused):
    """It does not lead to an issuer that is trusted."""


class CertificateOutdated(CertificateRefused):
    """It, or that of an issuer, has expired, or is not valid yet."""


class CertificateForAnotherHost(CertificateRefused):
    """It does not name the host."""


class PoemTooLongError(NetdemoError):
    """A server sent more than was to be kept in memory."""


class EchoError(NetdemoError):
    """An echo server could not be reached, or did not send back what it was sent."""


class BrokerURLError(NetdemoError, ValueError):
    """A broker's URL that can't be understood. The text holds neither user nor password."""


class NotHeld(NetdemoError):
    """A stop of the tour has shown something else than it should."""


class NotShown(NetdemoError):
    """A stop of the tour can't show here what it is for; the text is why, and what was seen."""


class AMQPError(NetdemoError):
    """Something that an AMQP broker said, or that became of a connection to one."""

    reply_code = 0
    """AMQP 0-9-1 reply code; 0 where the protocol has none."""

    def __init__(self, reply_text: str, reply_code: int | None = None) -> None:
        super().__init__(reply_text)
        self.reply_text = reply_text
        if reply_code is not None:
            self.reply_code = reply_code

    def __str__(self) -> str:
        return f"{self.reply_text} ({self.reply_code})" if self.reply_code else self.reply_text


class ConnectionClosed(AMQPError):
    """The AMQP connection was refused, closed or lost; ``reply_code`` is the broker's, or 0."""


class ConnectionClosedByUs(ConnectionClosed):
    """The AMQP connection ended because this side closed it."""

    reply_code = 200


class ConnectionBlocked(AMQPError):
    """The broker takes nothing more that is published, until an alarm of its own is over."""


class OtherProtocol(ConnectionClosed):
    """What answers speaks another protocol than AMQP 0-9-1, or TLS where none was expected."""


class HandshakeTimeout(ConnectionClosed):
    """TCP was connected, but AMQP was not open in time."""


class ChannelClosed(AMQPError):
    """The channel was closed, by the broker for an error or with its connection."""


class ChannelClosedByUs(ChannelClosed):
    """The channel ended because this side closed it."""

    reply_code = 200


class ChannelLost(ChannelClosed):
    """The channel ended with its connection."""


class ConsumerCancelled(ChannelClosed):
    """The broker cancelled a consumer, because its queue was deleted or moved."""


class DeclarationError(AMQPError):
    """Some of a topology was refused; the text is about the first.

    `refusals` are pairs of an exchange, queue or binding and its `ChannelClosed`: 404 for one that
    is missing, 406 for one that is declared otherwise.
    """

    def __init__(self, refusals: Sequence[tuple[Item, ChannelClosed]]) -> None:
        first = refusals[0][1]
        super().__init__(first.reply_text, first.reply_code)
        self.refusals = refusals


class PublishError(AMQPError):
    """A message was not published; `message` is the one that was given to ``publish``."""

    def __init__(self, reply_text: str, message: Message, reply_code: int | None = None) -> None:
        super().__init__(reply_text, reply_code)
        self.message = message


class UnroutableError(PublishError):
    """A mandatory message came back: no queue is bound for its routing key (``basic.return``)."""

    reply_code = 312


class NackedError(PublishError):
    """The broker refused to take the message (``basic.nack``): a queue is full for example."""


class NotSentError(PublishError):
    """The message was not taken: the broker refused it on the wire, or it never left."""


class OutcomeUnknownError(PublishError):
    """The message was sent, and the connection ended before the broker had confirmed it.

    Of a call: or before its reply had come. Whether the server did the work is unknown.
    """


class CallError(NetdemoError):
    """A remote procedure call has no result. One that can't be sent is a `PublishError`."""


class TooManyCalls(CallError):
    """A call was not made: as many as may be are waiting for their replies."""


class CallTimeout(CallError):
    """No reply came in time; whether the server did the work is unknown, if it was sent."""


class RemoteError(CallError):
    """The server answered with an error; a handler raises it to choose the text.

    The text is made one line fit for a log, of at most `max_length` characters.
    """

    max_length = 1000

    def __init__(self, text: str) -> None:
        printable = (each if each.isprintable() else " " for each in text[: self.max_length])
        super().__init__(" ".join("".join(printable).split()))


class StepTimeout(NetdemoError):
    """A step of a diagnosis took longer than it may."""


class StepFailed(NetdemoError):
    """A `step` of a diagnosis failed; the text is why, and `advice` what to do about it."""

    def __init__(self, step: str, text: str, advice: str) -> None:
        super().__init__(text)
        self.step = step
        self.advice = advice


class Refusal(AMQPError):
    """What our own broker refuses, in the words that RabbitMQ has for it.

    `closes_connection` tells whether it ends the connection or its channel alone (AMQP 0-9-1,
    section 1.2, "hard" and "soft" errors).
    """

    name = ""
    """What the reply text starts with."""

    closes_connection = False

    subject: tuple[int, int] = (0, 0)
    """Numbers of class and method of what was refused, if it was a method."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{self.name} - {text}")


class ContentTooLarge(Refusal):
    """A message is larger than a limit of the broker's."""

    reply_code, name = 311, "CONTENT_TOO_LARGE"


class AccessRefused(Refusal):
    """The user has no permission for it."""

    reply_code, name = 403, "ACCESS_REFUSED"


class NotFound(Refusal):
    """There is no such exchange, queue or consumer."""

    reply_code, name = 404, "NOT_FOUND"


class ResourceLocked(Refusal):
    """A queue is exclusive to another connection."""

    reply_code, name = 405, "RESOURCE_LOCKED"


class PreconditionFailed(Refusal):
    """A request does not fit what is there."""

    reply_code, name = 406, "PRECONDITION_FAILED"


class ConnectionRefusal(Refusal):
    """A refusal that ends the connection."""

    closes_connection = True


class ConnectionForced(ConnectionRefusal):
    """The broker ends the connection for a reason of its own."""

    reply_code, name = 320, "CONNECTION_FORCED"


class LoginRefused(ConnectionRefusal):
    """The user is not let in."""

    reply_code, name = 403, "ACCESS_REFUSED"


class FrameRefused(ConnectionRefusal):
    """What arrived is no frame."""

    reply_code, name = 501, "FRAME_ERROR"


class TextRefused(FrameRefused):
    """A short string is not UTF-8 (section 4.2.5.3)."""

    def __init__(self) -> None:
        super().__init__("Malformed UTF-8 in shortstr")


class SyntaxRefused(ConnectionRefusal):
    """A frame holds what can't be decoded."""

    reply_code, name = 502, "SYNTAX_ERROR"


class CommandInvalid(ConnectionRefusal):
    """A method came when it may not come."""

    reply_code, name = 503, "COMMAND_INVALID"


class ChannelMisused(ConnectionRefusal):
    """A channel is used that is not open, or opened that is."""

    reply_code, name = 504, "CHANNEL_ERROR"


class UnexpectedFrame(ConnectionRefusal):
    """A frame can't follow the one before it."""

    reply_code, name = 505, "UNEXPECTED_FRAME"


class NotAllowed(ConnectionRefusal):
    """It is not allowed here."""

    reply_code, name = 530, "NOT_ALLOWED"


class Unimplemented(ConnectionRefusal):
    """The broker knows it, and does not do it."""

    reply_code, name = 540, "NOT_IMPLEMENTED"


class BrokerFault(ConnectionRefusal):
    """The broker could not do what it should."""

    reply_code, name = 541, "INTERNAL_ERROR"


class StoreError(StartupError):
    """A store on disk can't be used: it is damaged, or of another version."""


class SpoolError(NetdemoError):
    """A record can't be written to the spool."""


class SpoolFull(SpoolError):
    """A record can't be written to the spool, because its disk is full."""
