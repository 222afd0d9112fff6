"""A command that is run for each message, and what becomes of the message by how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.amqp.consumer import Reject
from netdemo.amqp.message import Message
from netdemo.cli.receiver import Receiver
from netdemo.cli.stdio import standard_output_is_broken, tell
from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from netdemo.amqp.message import Delivery
    from netdemo.cli.shell import Ended, ShellCommand

LATER: Final = 75
"""Exit status of a command that wants the message again (``EX_TEMPFAIL`` of sysexits.h)."""

LATER_DELAY: Final = 1.0
"""Seconds that such a message is held, lest it comes again and again as fast as it can."""

MAX_PARALLEL: Final = 256
"""Commands at once: each has up to three pipes, and a process may often have 1024 files open."""

_SHOWN: Final = [
    field.name for field in attrs.fields(Message) if field.name not in ("body", "headers")
]

_TURNS: Final = 2
"""Turns of the reactor in which it hears of a signal, and tells us."""


def variables(delivery: Delivery) -> dict[bytes, bytes]:
    """Return what a command finds of ``delivery`` in its environment, in UTF-8 whatever our locale.

    What the message does not have is empty, and so is what no environment can hold.
    """
    values: dict[str, Any] = {name: getattr(delivery.message, name) for name in _SHOWN}
    values |= {
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
        "redelivered": int(delivery.redelivered),
    }
    return {f"NETDEMO_{name.upper()}".encode(): _encoded(value) for name, value in values.items()}


def _encoded(value: Any) -> bytes:
    text = "" if value is None else str(value)
    return b"" if "\0" in text else text.encode(errors="surrogateescape")


class MessageCommand:
    """Runs a command for messages, and tells which of its failures are not the message's."""

    def __init__(self, command: ShellCommand, reactor: Any) -> None:
        self._command = command
        self._reactor = reactor
        self._stopping = False

    async def run(self, delivery: Delivery) -> Ended:
        """Return how the command has ended.

        :raises Reject: so that the message goes back, when it has failed and `stop` was called:
            Ctrl-C ends all that a terminal runs, and the command may have heard of it before us.
        :raises OutputTooLong: when it was killed for that.
        :raises NetdemoError: when it can't be started.
        """
        try:
            ended = await self._command.run(delivery.message.body, variables(delivery))
        except CancelledError:
            raise Reject(requeue=True) from None
        if ended.status == 0:
            return ended
        for _ in range(_TURNS):
            await deferLater(self._reactor, 0)
        if self._stopping:
            raise Reject(requeue=True)
        if ended.not_started:
            raise NetdemoError(f"cannot run {self._command}: {ended}")
        return ended

    def stop(self) -> None:
        """Take what fails from now on for interrupted, and tell of those that are waited for."""
        self._stopping = True
        if running := self._command.running:
            tell(f"netdemo: waiting up to {STOP_TIMEOUT:g} s for commands to end: {running} run")


class Worker(Receiver):
    """Runs a command for each message: status 0 accepts it, `LATER` gives it back, others reject.

    A command that was ended by a signal gives its message a second chance, once.
    """

    def __init__(self, count: int | None, command: ShellCommand, reactor: Any) -> None:
        super().__init__(count)
        self._command = MessageCommand(command, reactor)
        self._reactor = reactor
        self._held: set[Deferred[None]] = set()

    async def process(self, delivery: Delivery) -> None:
        try:
            ended = await self._command.run(delivery)
        except NetdemoError as error:
            self.fail(error)
        if ended.status == 0:
            return
        if standard_output_is_broken():
            self.fail(SystemExit(1))
        if ended.status == LATER:
            await self._hold()
            raise Reject(requeue=True)
        again = ended.by_signal and not delivery.redelivered
        fate = "requeued" if again else "rejected"
        tell(f"netdemo receive: message {delivery.message.message_id!r} is {fate}: {ended}")
        raise Reject(requeue=again)

    def stop(self) -> None:
        super().stop()
        self._command.stop()
        for holding in list(self._held):
            holding.cancel()

    async def _hold(self) -> None:
        holding: Deferred[None] = deferLater(self._reactor, LATER_DELAY)
        self._held.add(holding)
        try:
            await holding
        except CancelledError:
            pass
        finally:
            self._held.discard(holding)
