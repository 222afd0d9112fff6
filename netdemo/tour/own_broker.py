"""The broker that the tour brings along: the embedded one, with a store, so that it can restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredLock

from netdemo.broker.server import broker_service
from netdemo.tour.loopback import ENDPOINT, HOST, ports

if TYPE_CHECKING:
    from pathlib import Path

GRACE: Final = 1.0
"""Seconds that clients have to close when the broker stops."""


class OwnBroker:
    """A broker that listens on a free port of the loopback, the same after `restart`.

    What is durable is in the folder ``store``, which is made if there is none.
    """

    def __init__(self, store: Path, reactor: Any) -> None:
        self._store = store
        self._reactor = reactor
        self._in_turn = DeferredLock()
        self._start(ENDPOINT)

    @property
    def url(self) -> str:
        """Its URL, for the one user that it has."""
        return f"amqp://guest:guest@{HOST}:{self._port}/"

    def stop(self) -> Deferred[None]:
        """Stop it, which ends its connections; fire when its store is closed.

        It goes on when the Deferred is cancelled, and who stops it again waits for that.
        """
        stopped: Deferred[None] = Deferred()
        self._in_turn.run(self._service.stopService).chainDeferred(stopped)
        return stopped

    async def restart(self) -> None:
        """Stop it, and start it with what its store has."""
        await self.stop()
        self._start(f"tcp:{self._port}:interface={HOST}")

    def _start(self, endpoint: str) -> None:
        self._service = broker_service([endpoint], self._reactor, store=self._store, grace=GRACE)
        self._service.startService()
        (self._port,) = ports(self._service)
