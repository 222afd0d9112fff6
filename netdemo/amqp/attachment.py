"""One user's channels on one session: each that is lost is followed by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.errors import ChannelClosed, ChannelClosedByUs, ChannelLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.amqp.interfaces import IChannel, IChannelUser, ISession


class Attachment:
    """Gives ``user`` a channel with its topology declared, and another when it ends for an error.

    ``retry_policy`` returns seconds to wait after so many failures in a row; 0 is a channel that
    had worked. It ends with the session, and with `end`.
    """

    _log = Logger()

    def __init__(
        self,
        user: IChannelUser,
        session: ISession,
        clock: IReactorTime,
        retry_policy: Callable[[int], float],
    ) -> None:
        self._user = user
        self._session = session
        self._clock = clock
        self._retry_policy = retry_policy
        self._ended = False
        self._working: Deferred[None] = succeed(None)

    def begin(self) -> None:
        """Open the first channel."""
        self._working = Deferred.fromCoroutine(self._work())
        self._working.addErrback(self._unless_cancelled)

    def end(self) -> None:
        """Close the channel and open no other."""
        self._ended = True
        self._working.cancel()

    async def _work(self) -> None:
        failures = 0
        while True:
            reason, worked = await self._work_on_a_channel()
            if self._ended or isinstance(reason, ChannelLost | ChannelClosedByUs):
                return
            failures = 0 if worked else failures + 1
            delay = self._retry_policy(failures)
            self._log.warn(
                "{user}: {reason}; next attempt in {delay:.1f} s",
                user=self._user,
                reason=reason,
                delay=delay,
            )
            await deferLater(self._clock, delay)

    async def _work_on_a_channel(self) -> tuple[ChannelClosed, bool]:
        """Let the user work on one channel; return why it ended, and whether work had begun."""
        reason: ChannelClosed = ChannelClosedByUs("closed by us")
        channel: IChannel | None = None
        worked = False
        try:
            channel = await self._session.open_channel()
            await self._user.topology.declare(channel)
            await self._user.attach(channel)
            worked = True
            if not self._ended:  # it may have been ended from within `attach`
                reason = await channel.closed
        except ChannelClosed as closed:
            reason = closed
        except Exception as error:  # a name that can't be put on the wire, for example
            if not self._ended:  # else it is the cancellation
                self._log.failure("{user}", user=self._user)
                reason = ChannelClosed(repr(error))
        self._user.detach(reason)
        if channel is not None:
            channel.close().addErrback(self._unless_cancelled)
        return reason, worked

    def _unless_cancelled(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("{user}: keeping its channel failed", failure, user=self._user)
