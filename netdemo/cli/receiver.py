"""What a command does with the messages it receives: so many of them, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from twisted.internet.defer import CancelledError, Deferred

from netdemo.amqp.consumer import Reject
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.amqp.message import Delivery
    from netdemo.amqp.status import Status
    from netdemo.cli.stdio import StandardOutput


class Receiver:
    """Processes messages, to inherit from.

    `done` fires after ``count`` of them, if that is not ``None``, and fails when no more can be
    processed. Those beyond it wait for one to be given back, and go back themselves at the end.
    `accepted` were processed, and are acknowledged; `rejected` are not wanted back. Those that were
    in hand when the connection was lost are neither: they went back with it.
    """

    def __init__(self, count: int | None) -> None:
        self.done: Deferred[None] = Deferred()
        self.accepted = self.rejected = 0
        self.stopping = False
        self._count = count
        self._begun = 0
        self._channels = 0
        self._news: Waiters[None] = Waiters()

    async def handle(self, delivery: Delivery) -> None:
        """Process one message; for a `Consumer`."""
        channel = self._channels
        while True:
            if self.stopping or channel != self._channels:
                raise Reject(requeue=True)
            if self._begun != self._count and not self.done.called:
                break
            await self._news.wait()
        self._begun += 1
        try:
            await self.process(delivery)
        except Reject as refusal:
            if refusal.requeue or channel != self._channels:
                self._give_back()
            else:
                self.rejected += 1
                self._look_whether_done()
            raise
        if channel != self._channels:
            self._give_back()
            return
        self.accepted += 1
        self._look_whether_done()

    def heard(self, status: Status) -> None:
        """Hear what becomes of the `Consumer`, for which it is a status listener."""
        if status.state == "waiting":
            self._channels += 1
            self._news.callback(None)

    async def process(self, delivery: Delivery) -> None:
        """Do what is to be done with one message, or raise `Reject`."""
        raise NotImplementedError

    def stop(self) -> None:
        """Begin nothing more, and give back what is not begun."""
        self.stopping = True
        self._news.callback(None)

    def fail(self, error: BaseException) -> NoReturn:
        """Let `done` fail with ``error``, and give the message back."""
        if not self.done.called:
            self.done.errback(error)
        raise Reject(requeue=True)

    def _give_back(self) -> None:
        self._begun -= 1
        self._news.callback(None)

    def _look_whether_done(self) -> None:
        if self.accepted + self.rejected == self._count and not self.done.called:
            self.done.callback(None)


class Printer(Receiver):
    """Prints messages as ``render`` has them, and acknowledges each when it is written.

    What is not written goes back, when it is stopped or standard output can't be written.
    """

    def __init__(
        self, count: int | None, render: Callable[[Delivery], bytes], output: StandardOutput
    ) -> None:
        super().__init__(count)
        self._render = render
        self._output = output
        self._writing: set[Deferred[None]] = set()

    async def process(self, delivery: Delivery) -> None:
        self._output.write(self._render(delivery))
        written = self._output.when_written()
        self._writing.add(written)
        try:
            await written
        except CancelledError:
            raise Reject(requeue=True) from None
        except (Exception, SystemExit) as error:
            self.fail(error)
        finally:
            self._writing.discard(written)

    def stop(self) -> None:
        super().stop()
        for written in list(self._writing):
            written.cancel()


def body_line(delivery: Delivery) -> bytes:
    """Return the body of ``delivery``, and a newline."""
    return delivery.message.body + b"\n"
