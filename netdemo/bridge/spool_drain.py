"""Draining: what is in a spool is published, oldest first, and deleted when it is confirmed."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.address import parse_destination
from netdemo.amqp.destination import target
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.window import Window
from netdemo.bridge.outlet import QUIET, RETRY_POLICY, WINDOW
from netdemo.bridge.spool import RETRY
from netdemo.bridge.spool_blocks import Writing
from netdemo.bridge.spool_file import REFUSED, first_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.message import Message
    from netdemo.bridge.spool import Spool
    from netdemo.bridge.spool_blocks import Block
    from netdemo.bridge.spool_file import StoredRoute

HELD_RECORDS: Final = WINDOW
"""Records in memory until they are confirmed, unless said otherwise; the others are on disk."""

HELD_BYTES: Final = 8 * 1024 * 1024
"""Bytes of them, unless said otherwise."""

LAST_OUTCOMES: Final = 1.0
"""Seconds in which a broker that is there can confirm what it was sent last, at the end."""


class Drain:
    """Publishes what one route has in the spool.

    A record that the broker refuses is put aside, so that others are not held up, and published
    again with all that are aside, later and later; that is logged every `QUIET` seconds at most.
    `held` bounds what is in memory. ``on_empty`` is called when nothing is left.

    Counters: `confirmed` records, and `refused_by_broker`, attempts.
    """

    _log = Logger()
    _client: AMQPClient | None = None

    def __init__(
        self,
        stored: StoredRoute,
        spool: Spool,
        clock: IReactorTime,
        *,
        held: Window | None = None,
        retry_policy: Callable[[int], float] = RETRY_POLICY,
        on_empty: Callable[[Drain], None] = lambda _: None,
    ) -> None:
        to = target(parse_destination(stored.destination))
        self.name = stored.name
        self.held = held or Window(HELD_RECORDS, HELD_BYTES)
        self.publisher = Publisher(
            to.topology, window=Window(HELD_RECORDS), name=f"spool of {stored.name}"
        )
        self.confirmed = self.refused_by_broker = 0
        self._exchange = to.exchange
        self._routing_key = to.routing_key
        self._route_id = stored.id
        self._spool = spool
        self._clock = clock
        self._retry_policy = retry_policy
        self._on_empty = on_empty
        self._blocks = stored.blocks
        self._in_memory: dict[int, Block] = {}
        # Ids: of the block that was given out, was written, and was taken to be published last.
        self._given = self._written = stored.highest
        self._taken = first_id(stored.id)
        self._given_aside = self._written_aside = stored.highest_refused
        self._quiet_until = 0.0
        self._attempt = 0
        self._retrying: Deferred[None] | None = None
        self._reading: Deferred[None] | None = None
        self._stopping = False

    @property
    def empty(self) -> bool:
        """Whether nothing is in the spool, nor on its way there."""
        return not self._blocks

    def attach(self, client: AMQPClient) -> None:
        """Publish through ``client`` from now on."""
        self._client = client
        client.add(self.publisher)
        self._go_on()
        if self._written_aside > first_id(self._route_id, REFUSED):
            self._try_again_later()

    def withdraw(self) -> None:
        """Publish no more: what has no outcome stays in the spool."""
        self._stop()
        if self._client is not None:
            self._client.remove(self.publisher)

    async def stop(self) -> list[Block]:
        """Publish no more; return the blocks of which a part is settled.

        A broker that is there has a moment to confirm what it was sent.
        """
        self._stop()
        if self._client is not None and self._client.status.state == "ready" and self._in_memory:
            confirmed = self.held.when_empty().addTimeout(LAST_OUTCOMES, self._clock)
            with contextlib.suppress(DeferredTimeout):
                await confirmed
        if self._client is not None:
            self._client.remove(self.publisher)
        return [block for block in self._in_memory.values() if any(block.settled)]

    def new_id(self) -> int:
        """Return the id of a new block, which is `written` or `forget`-ed."""
        self._blocks += 1
        self._given += 1
        return self._given

    def forget(self, _: Block) -> None:
        """Take a block for one that is gone."""
        self._blocks -= 1
        if not self._blocks:
            self._on_empty(self)

    def written(self, block: Block) -> None:
        """Publish a block that is on disk, now if all before it were taken and there is room."""
        caught_up = self._taken >= self._written
        self._written = block.id
        if caught_up and self._reading is None and self._publishes and not self.held.full:
            self._publish(block)
        else:
            self._go_on()

    @property
    def _publishes(self) -> bool:
        return self._client is not None and not self._stopping

    def _stop(self) -> None:
        self._stopping = True
        for each in (self._retrying, self._reading):
            if each is not None:
                each.cancel()

    def _go_on(self) -> None:
        """Read what comes next, if there is room for as much again as is held."""
        if self._taken >= self._written or self._reading is not None or not self._publishes:
            return
        held = self.held
        if held.messages * 2 > held.message_limit or held.size * 2 > held.size_limit:
            return
        reading = self._reading = Deferred.fromCoroutine(self._read())
        reading.addErrback(self._fault)
        if reading.called:
            self._reading = None
            self._go_on()
        else:
            reading.addCallback(self._has_read)

    def _has_read(self, _: None) -> None:
        self._reading = None
        self._go_on()

    async def _read(self) -> None:
        last = self._written
        try:
            blocks = await self._read_half(self._taken, last)
        except CancelledError:
            return
        except Exception as error:
            self._log.error(
                "{name}: the spool can't be read: {error}; tried again in {seconds} s",
                name=self.name,
                error=error,
                seconds=RETRY,
            )
            await deferLater(self._clock, RETRY)
            return
        if self._stopping:
            return
        for block in blocks:
            if self.held.full:
                return
            self._publish(block)
        if not blocks:  # they were deleted by another hand
            self._taken = last

    def _read_half(self, after: int, last: int) -> Deferred[list[Block]]:
        """Read half as much as may be held."""
        held = self.held
        return self._spool.read(after, last, held.message_limit // 2, held.size_limit // 2)

    def _publish(self, block: Block) -> None:
        self._taken = block.id
        self._in_memory[block.id] = block
        messages = list(block.messages())
        block.left = len(messages)
        block.settled = block.settled or bytearray(len(block.bodies))
        mandatory = block.terms.mandatory
        if not messages:
            self._delete(block)
        for index, message, key in messages:
            self.held.take(len(message.body))
            self.publisher.publish(
                message, self._exchange, self._routing_key if key is None else key, mandatory
            ).addCallbacks(
                self._confirmed, self._refused, (block, index), {}, (block, index, message), {}
            ).addErrback(self._fault)

    def _confirmed(self, _: None, block: Block, index: int) -> None:
        self.confirmed += 1
        self._settle(block, index)

    def _refused(self, failure: Failure, block: Block, index: int, message: Message) -> None:
        if self._stopping:
            self.held.give_back(len(message.body))
            return
        self._log_refused(message, failure)
        self._given_aside += 1
        self._blocks += 1
        alone = block.alone(index, self._given_aside)
        put_aside = partial(self._put_aside, block, index)
        self._spool.add(Writing(alone, put_aside, partial(self._not_put_aside, len(message.body))))

    def _log_refused(self, message: Message, failure: Failure) -> None:
        self.refused_by_broker += 1
        if self._clock.seconds() >= self._quiet_until:
            self._quiet_until = self._clock.seconds() + QUIET
            self._log.warn(
                "{route}: message {message_id} was not published, and stays in the spool: {reason};"
                " {count} so far",
                route=self.name,
                message_id=message.message_id,
                reason=failure.value,
                count=self.refused_by_broker,
            )

    def _settle(self, block: Block, index: int) -> None:
        block.settled[index] = 1
        block.left -= 1
        if not block.left:
            self._delete(block)
        self.held.give_back(len(block.bodies[index]))
        if self._taken < self._written:
            self._go_on()

    def _delete(self, block: Block) -> None:
        del self._in_memory[block.id]
        self._spool.delete(block)
        self.forget(block)

    def _put_aside(self, block: Block, index: int, writing: Writing) -> None:
        self._written_aside = writing.block.id
        self._settle(block, index)  # not before: its own block may be deleted earlier than this
        self._try_again_later()

    def _not_put_aside(self, size: int, writing: Writing, _: Exception) -> None:
        self.held.give_back(size)  # it is still in its own block
        self.forget(writing.block)

    def _try_again_later(self) -> None:
        if self._retrying is None and self._publishes:
            self._attempt += 1
            self._retrying = Deferred.fromCoroutine(self._try_again())
            self._retrying.addErrback(self._fault)

    async def _try_again(self) -> None:
        """Publish all that is aside, some at a time."""
        try:
            await deferLater(self._clock, self._retry_policy(self._attempt))
            last = self._written_aside
            taken = first_id(self._route_id, REFUSED)
            left = False
            while not self._stopping and taken < last:
                blocks = await self._read_half(taken, last)
                if not blocks:
                    break
                outcomes = await DeferredList([self._publish_again(block) for block in blocks])
                left = left or not all(took for _, took in outcomes)
                taken = blocks[-1].id
        except CancelledError:
            return
        except Exception as error:
            self._log.error("{name}: the spool can't be read: {e}", name=self.name, e=error)
            left, last = True, self._written_aside
        self._retrying = None
        if not left and last == self._written_aside:
            self._attempt = 0
        else:
            self._try_again_later()

    def _publish_again(self, block: Block) -> Deferred[bool]:
        """Publish a block that is aside; fire with whether the broker took it."""
        ((_, message, key),) = block.messages()
        publishing = self.publisher.publish(
            message,
            self._exchange,
            self._routing_key if key is None else key,
            block.terms.mandatory,
        )
        return publishing.addCallbacks(
            partial(self._confirmed_aside, block), partial(self._refused_again, message)
        )

    def _confirmed_aside(self, block: Block, _: None) -> bool:
        self.confirmed += 1
        self._spool.delete(block)
        self.forget(block)
        return True

    def _refused_again(self, message: Message, failure: Failure) -> bool:
        if not self._stopping:
            self._log_refused(message, failure)
        return False

    def _fault(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("draining the spool", failure)
