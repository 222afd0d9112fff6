"""Publishing as a consumer of Twisted's: whoever produces too fast is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IConsumer
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.amqp.message import Message
from netdemo.amqp.window import Window
from netdemo.pausing import PausingConsumer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    Publish = Callable[[Message, str, str, bool], Deferred[None]]


@implementer(IConsumer)
class MessageWriter(PausingConsumer):
    """Publishes each write as one message, with the ``publish`` of a client or a publisher.

    A push producer that is registered is paused while ``window`` is full of what is not confirmed.
    When a message fails, the producer is stopped and nothing more is published: what comes after
    it would be out of order. `confirmed` counts messages.
    """

    _log = Logger()

    def __init__(
        self,
        publish: Publish,
        exchange: str = "",
        routing_key: str = "",
        *,
        mandatory: bool = True,
        window: Window | None = None,
    ) -> None:
        self.confirmed = 0
        self._publish = publish
        self._place = exchange, routing_key, mandatory
        self._window = window or Window()
        self._failure: Failure | None = None
        self._full = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if self._full:
            self._pause_producer()

    def write(self, data: bytes) -> None:
        """Publish ``data``, unless a message has failed."""
        if self._failure is not None:
            return
        self._window.take(len(data))
        publishing = self._publish(Message(data), *self._place)
        publishing.addCallbacks(self._was_confirmed, self._has_failed)
        publishing.addCallback(lambda _: self._window.give_back(len(data)))
        publishing.addErrback(lambda failure: self._log.failure("after a message", failure))
        if self._window.full and not self._full:
            self._full = True
            self._pause_producer()
            room = self._window.when_room().addCallback(lambda _: self._has_room())
            room.addErrback(lambda failure: self._log.failure("resuming", failure))

    def finish(self) -> Deferred[int]:
        """Fire with how many messages were confirmed, when there is an outcome for each.

        Fails with the `PublishError` of the first that failed.
        """
        return self._window.when_empty().addCallback(lambda _: self._outcome())

    def _outcome(self) -> int:
        if self._failure is not None:
            self._failure.raiseException()
        return self.confirmed

    def _has_room(self) -> None:
        self._full = False
        if self._failure is None:  # else the producer was stopped
            self._resume_producer()

    def _was_confirmed(self, _: None) -> None:
        self.confirmed += 1

    def _has_failed(self, failure: Failure) -> None:
        if self._failure is None:
            self._failure = failure
            self._stop_producer()
