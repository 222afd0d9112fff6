"""Keeping topologies declared: each on every connection, and what was refused again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.amqp.topology import declare
from netdemo.errors import ChannelClosed, ChannelClosedByUs, ChannelLost, DeclarationError
from netdemo.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.amqp.interfaces import ISession
    from netdemo.amqp.topology import Item, Topology
    from netdemo.errors import AMQPError

Refusals = list[tuple["Item", ChannelClosed]]


async def declare_each(items: Iterable[Item], session: ISession) -> Refusals:
    """Declare ``items`` in order; return those that the broker refused, with its reasons.

    A refusal costs a channel, so the next item gets another.

    :raises ChannelLost: when the connection has ended.
    """
    refusals: Refusals = []
    channel = None
    try:
        for item in items:
            try:
                channel = channel or await session.open_channel()
                await declare(item, channel)
            except (CancelledError, ChannelLost):
                raise
            except ChannelClosed as reason:
                refusals.append((item, reason))
                channel = None
            except Exception as error:  # the codec refuses it; nothing was sent
                refusals.append((item, ChannelClosed(f"it can't be put on the wire: {error!r}")))
    finally:
        if channel is not None:
            await channel.close()
    return refusals


@attrs.define(eq=False)
class _Entry:
    """A topology, those who wait until it was tried, and the work on it on this session.

    `additions` counts how often it was added, and not removed.
    `attempt` fires when that work has tried all of it once; ``None`` when there is no session.
    """

    topology: Topology
    additions: int = 0
    tried: Waiters[Refusals] = attrs.field(factory=Waiters)
    working: Deferred[None] = attrs.field(factory=lambda: succeed(None))
    attempt: Deferred[None] | None = None


class Declarations:
    """Declares every topology that was added, one after another, on each session.

    What the broker refuses is logged, and tried again, later and later as ``retry_policy`` says.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, retry_policy: Callable[[int], float]) -> None:
        self._clock = clock
        self._retry_policy = retry_policy
        self._entries: list[_Entry] = []
        self._session: ISession | None = None
        self._in_turn = DeferredLock()

    def add(self, topology: Topology) -> Deferred[None]:
        """Declare ``topology``, now and on every later session.

        Fires when all of it is declared on a session; fails with `DeclarationError` when some of
        it was refused, and with what `give_up` is given. Cancelling it gives up waiting alone.
        """
        entry = next((each for each in self._entries if each.topology == topology), None)
        if entry is None:
            entry = _Entry(topology)
            self._entries.append(entry)
        entry.additions += 1
        declared = entry.tried.wait().addCallback(_raise_if_refused)
        if self._session is not None:
            self._begin(entry, self._session)
        return declared

    def remove(self, topology: Topology) -> None:
        """Declare ``topology`` no more, when it was removed as often as it was added.

        Its exclusive queues are deleted: nobody else can have them, and they would fill.
        """
        entry = next((each for each in self._entries if each.topology == topology), None)
        if entry is None:
            return
        entry.additions -= 1
        if entry.additions:
            return
        self._entries.remove(entry)
        entry.attempt = None
        entry.working.cancel()
        entry.tried.errback(ChannelClosedByUs("the topology was removed from its client"))
        own = [queue.name for queue in topology.queues if queue.exclusive]
        if own and self._session is not None:
            deleting = self._in_turn.run(_delete_each, own, self._session)
            deleting.addErrback(self._unless_ended)

    def attach(self, session: ISession) -> Deferred[None]:
        """Declare everything on ``session``; fire, never fail, when all was tried once."""
        self._session = session
        tried = [self._begin(entry, session) for entry in list(self._entries)]
        return Deferred.fromCoroutine(_all(tried))

    def detach(self) -> None:
        """Declare nothing more on this session: it has ended."""
        self._session = None
        for entry in list(self._entries):
            entry.attempt = None
            entry.working.cancel()

    def give_up(self, reason: AMQPError) -> None:
        """Fail those who wait for a declaration."""
        for entry in list(self._entries):
            entry.tried.errback(reason)

    def _begin(self, entry: _Entry, session: ISession) -> Deferred[None]:
        """Declare ``entry``; fire when it was tried once, or can't be on this session."""
        entry.working.cancel()
        tried: Deferred[None] = Deferred()
        entry.attempt = tried
        entry.working = Deferred.fromCoroutine(self._keep_trying(entry, session, tried))
        entry.working.addErrback(self._unless_ended)
        entry.working.addCallback(lambda _: _fire(tried))
        return tried

    async def _keep_trying(self, entry: _Entry, session: ISession, tried: Deferred[None]) -> None:
        items = list(entry.topology)
        failures = 0
        while True:
            refusals = await self._in_turn.run(_declare_each, items, session)
            entry.tried.callback(refusals)
            _fire(tried)
            if not refusals or entry.attempt is not tried:  # one of those who waited has begun anew
                return
            failures += 1
            delay = self._retry_policy(failures)
            for item, reason in refusals:
                self._log.warn(
                    "{item}: {reason}; next attempt in {delay:.1f} s",
                    item=item,
                    reason=reason,
                    delay=delay,
                )
            items = [item for item, _ in refusals]
            await deferLater(self._clock, delay)

    def _unless_ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError, ChannelClosedByUs, ChannelLost):
            self._log.failure("declaring a topology failed", failure)


def _declare_each(items: list[Item], session: ISession) -> Deferred[Refusals]:
    return Deferred.fromCoroutine(declare_each(items, session))


def _delete_each(queues: list[str], session: ISession) -> Deferred[None]:
    return Deferred.fromCoroutine(_delete(queues, session))


async def _delete(queues: list[str], session: ISession) -> None:
    channel = await session.open_channel()
    try:
        for queue in queues:
            await channel.queue_delete(queue)
    finally:
        await channel.close()


async def _all(deferreds: list[Deferred[None]]) -> None:
    for each in deferreds:
        await each


def _raise_if_refused(refusals: Refusals) -> None:
    if refusals:
        raise DeclarationError(refusals)


def _fire(deferred: Deferred[None]) -> None:
    if not deferred.called:
        deferred.callback(None)
