"""What the stops of the tour have at hand: above all a broker, the tour's own or one by its URL."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import uuid4

import attrs

from netdemo.amqp import AMQPClient, BrokerURL
from netdemo.errors import ConnectionClosed, NetdemoError
from netdemo.tour.own_broker import OwnBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from twisted.internet.defer import Deferred

    from netdemo.amqp.opening import MakeEndpoint

CONNECT_TIMEOUT: Final = 2.0
"""Seconds that a broker has to let a client in: one that says nothing is not to cost each stop all
the time that it may take."""

STOP_TIMEOUT: Final = 1.0
"""Seconds that a client of a stop has for what is in hand when the stop ends."""

LEFTOVER: Final = {"x-expires": 60_000}
"""Arguments of a queue that outlives its connection: if a stop breaks off, it goes by itself, so
many milliseconds after its last use."""


@attrs.frozen
class Site:
    """What a stop may use.

    `tell` prints a line. `restart` restarts the broker, and is ``None`` where that is not ours.
    `endpoint` builds what the broker at `url` is connected through.
    """

    reactor: Any
    url: str
    folder: Path
    tell: Callable[[str], None]
    restart: Callable[[], Coroutine[Deferred[Any], Any, None]] | None = None
    endpoint: MakeEndpoint = BrokerURL.endpoint

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AMQPClient]:
        """Lend a client that is ready, and stop it afterwards.

        :raises NetdemoError: at the first failure to connect, with the broker's words.
        """
        client = AMQPClient(
            [self.url], self.reactor, stop_timeout=STOP_TIMEOUT, endpoint=self.endpoint
        )
        client.startService()
        try:
            ready = client.when_ready(fail_after_failures=1)
            await ready.addTimeout(CONNECT_TIMEOUT, self.reactor, _not_ready)
            yield client
        except ConnectionClosed as error:
            raise NetdemoError(f"{BrokerURL.parse(self.url)}: {error}") from error
        finally:
            await client.stopService()


def _not_ready(_: object, timeout: float) -> NoReturn:
    raise ConnectionClosed(f"AMQP was not open within {timeout:g} s")


@asynccontextmanager
async def tour_site(
    url: str | None, reactor: Any, tell: Callable[[str], None]
) -> AsyncIterator[Site]:
    """Lend a site with the broker at ``url``, or with one of its own, and a temporary folder.

    :raises NetdemoError: when there can be no such folder.
    """
    try:
        temporary = TemporaryDirectory(prefix="netdemo-tour-")
    except OSError as error:
        raise NetdemoError(f"cannot make a temporary folder: {error.strerror}") from None
    with temporary as name:
        folder = Path(name)
        if url is not None:
            yield Site(reactor, url, folder, tell)
            return
        broker = OwnBroker(folder / "store", reactor)
        try:
            yield Site(reactor, broker.url, folder, tell, broker.restart)
        finally:
            await broker.stop()


def unique(purpose: str) -> str:
    """Return a name for an exchange or a queue that nobody else has."""
    return f"netdemo-tour.{purpose}.{uuid4().hex}"
