"""The contract, as our broker keeps it in memory."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, ParamSpec

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.task import Clock, deferLater

from netdemo.testing import MemoryBroker, MemoryNetwork
from tests.contract import Contract, on

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract_client import Client

P = ParamSpec("P")


class InMemory(Contract):
    """A broker in memory, whose time passes when nothing else is left to happen."""

    def setUp(self) -> None:
        clock = Clock()
        clock.rightNow = time.time()  # headers tell when messages died
        self.broker = MemoryBroker(MemoryNetwork(clock))
        self.addCleanup(self.broker.stop)
        name = self._testMethodName
        setattr(self, name, partial(self.drive, getattr(self, name)))
        super().setUp()

    def addCleanup(  # type: ignore[override]  # its first parameter has no name, or another
        self, f: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        super().addCleanup(lambda: self.drive(f, *args, **kwargs))

    def drive(self, f: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Deferred[object]:
        """Call what returns an awaitable, perhaps, and let happen what that waits for."""
        result: Deferred[object] = maybeDeferred(f, *args, **kwargs)
        network = self.broker.network
        end = network.clock.seconds() + self.timeout
        network.advance()
        while not result.called:
            due = network.next_call()
            if due is None or due > end:
                raise AssertionError(f"nothing moves any more that {f} waits for")
            network.advance(due - network.clock.seconds())
        return result

    async def dial(self, client: Client) -> None:
        await connectProtocol(self.broker.endpoint(), client)

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self.broker.clock, seconds)

    async def restart(self) -> None:
        self.broker.close_connections()
        await self.pause(0.1)  # all that can happen at once comes before that
        self.broker.restart()


globals().update(on(InMemory))
