"""The connection of a command to the broker that the environment names."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, FirstError
from twisted.logger import ILogObserver, LogLevel, eventAsText, globalLogPublisher
from zope.interface import implementer

from netdemo.amqp.broker_url import default_broker_url
from netdemo.amqp.client import AMQPClient
from netdemo.amqp.script import start
from netdemo.cli.stdio import tell
from netdemo.errors import (
    ChannelClosed,
    ChannelLost,
    DeclarationError,
    NetdemoError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from twisted.logger import LogEvent

    from netdemo.amqp.consumer import Consumer
    from netdemo.amqp.status import Status
    from netdemo.amqp.topology import Topology


@asynccontextmanager
async def connected(reactor: Any, topology: Topology | None = None) -> AsyncIterator[AMQPClient]:
    """Lend a client that is ready, with ``topology`` declared, and stop it afterwards.

    What it warns of meanwhile, a connection that was lost for example, is told.

    :raises NetdemoError: at the first failure to connect or declare, with the broker's words.
    """
    client = AMQPClient([default_broker_url()], reactor)
    try:
        await start(client)
        if topology is not None:
            await client.declare(topology)
    except BaseException:
        await client.stopService()
        raise
    with _warnings_told():
        try:
            yield client
        finally:
            await client.stopService()


@contextmanager
def _warnings_told() -> Iterator[None]:
    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event.get("log_level") is LogLevel.warn:
            tell(f"netdemo: {eventAsText(event, includeTimestamp=False, includeSystem=False)}")

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)


def when_accepted(consumer: Consumer) -> Deferred[None]:
    """Fire when the broker lets ``consumer`` consume; fail with its words when it does not."""
    accepted: Deferred[None] = Deferred()

    def heard(status: Status) -> None:
        if accepted.called:
            return
        reason = status.reason
        if status.state == "consuming":
            accepted.callback(None)
        elif isinstance(reason, ChannelClosed) and not isinstance(reason, ChannelLost):
            accepted.errback(reason)

    consumer.add_status_listener(heard)
    heard(consumer.status)

    def heard_enough(result: Any) -> Any:
        consumer.remove_status_listener(heard)
        return result

    return accepted.addBoth(heard_enough)


async def acknowledged(client: AMQPClient, topology: Topology) -> None:
    """Wait until the broker has read the acknowledgements that were sent to it.

    AMQP has no answer to them, but the broker answers in order: ``topology``, which is declared,
    is once again.

    :raises NetdemoError: when the connection is lost before.
    """
    lost: Deferred[None] = Deferred()

    def heard(status: Status) -> None:
        if status.state not in ("ready", "blocked") and not lost.called:
            reason = "the last messages may not be acknowledged, and come again"
            lost.errback(NetdemoError(f"the connection was lost: {reason}"))

    client.add_status_listener(heard)
    try:
        heard(client.status)
        with suppress(DeclarationError):  # it is an answer, too
            await _first(client.declare(topology), lost)
    finally:
        client.remove_status_listener(heard)


async def _first(*waiting: Deferred[None]) -> None:
    both = DeferredList(waiting, fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True)
    try:
        await both
    except FirstError as error:
        error.subFailure.raiseException()
