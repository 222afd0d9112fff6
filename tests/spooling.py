"""A spool, with its drains, on a client of a broker in memory; its disk fails when told to."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail

from netdemo.address import parse_destination
from netdemo.bridge.routes import SPOOL_LIMIT, PushRoute
from netdemo.bridge.spool import Spool, make_room, write_batch
from netdemo.bridge.spool_file import open_spool_file
from netdemo.bridge.spool_outlet import SpoolOutlet, SpoolService
from tests.folders import temporary_folder
from tests.memory_clients import QUEUE, MemoryClientTestCase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class Disk:
    """Runs what is to be run in a thread, at once; it fails what writes while `error` is set."""

    error: Exception | None = None

    def __call__(self, call: Callable[[], T], /) -> Deferred[T]:
        """Run `call`."""
        writes = getattr(call, "func", None) in (make_room, write_batch)
        return fail(self.error) if writes and self.error is not None else execute(call)

    def fill(self) -> None:
        """Be full."""
        self.error = sqlite3.OperationalError("database or disk is full")
        self.error.sqlite_errorname = "SQLITE_FULL"  # as the module does


class SpoolTestCase(MemoryClientTestCase):
    """A route to a queue, with a spool in a folder; what is sent comes to `bodies`."""

    ack = False
    limit = SPOOL_LIMIT

    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self) / "spool"
        self.disk = Disk()
        self.start()

    def start(self, *destinations: str) -> None:
        """Start a bridge's spool with routes to `destinations`, to the queue if there are none."""
        self.service = SpoolService(
            self.folder, self.client, self.network.clock, self.limit, open_spool=self.open
        )
        self.outlets: list[SpoolOutlet] = []
        for destination in destinations or (f"/queue/{QUEUE}",):
            route = PushRoute(parse_destination(destination), "tcp:7001", ack=self.ack)
            outlet = SpoolOutlet(route, self.service, self.network.clock)
            outlet.attach(self.client)
            self.outlets.append(outlet)
        self.service.startService()
        self.network.advance()

    def open(self, folder: Path, reactor: Any, limit: int) -> Spool:
        """Open the spool."""
        return Spool(open_spool_file(folder), self.disk, reactor, limit)

    def tidy(self) -> None:
        self.halt()
        super().tidy()

    def halt(self) -> None:
        """Stop the spool as the bridge does."""
        if self.service.running:
            self.result(self.service.stopService(), 2)

    def send(self, *records: bytes) -> list[Deferred[None]]:
        """Send records to the first route; the reactor turns once."""
        sent = [self.outlets[0].send(record) for record in records]
        self.network.advance()
        return sent

    def spool(self) -> Spool:
        """Return the open spool."""
        assert self.service.spool is not None
        return self.service.spool
