"""Peers that send without end and never read cost the echo server a bounded amount of memory."""

from __future__ import annotations

import contextlib  # trial takes a name `suppress` for its own
import resource
import selectors
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process, anonymous_memory
from tests.rabbitmq import free_ports

PEERS = 1000
KIB = 1024
QUIET = 2.0
"""Seconds in which no peer can send anything more: by then all of them are stuck."""


class StuckPeersTests(SynchronousTestCase):
    """A thousand peers and a real server."""

    def setUp(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3 * PEERS), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        (self.port,) = free_ports(1)
        self.server = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "echo"),
            *(f"--listen=tcp:{self.port}:interface=127.0.0.1", "--idle-timeout=600", "--grace=0"),
            cwd=temporary_folder(self),
        )
        self.addCleanup(self.server.remove)
        self.server.wait_for(f"starting on {self.port}")
        self.selector = selectors.DefaultSelector()
        self.addCleanup(self.selector.close)

    def connect(self) -> None:
        """Connect one more peer."""
        peer = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(peer.close)
        peer.setblocking(False)
        self.selector.register(peer, selectors.EVENT_WRITE)

    def send_until_all_are_stuck(self, most: int) -> None:
        """Send as much as anybody can; the server must never have more than `most` in memory."""
        data = bytes(64 * KIB)
        while ready := self.selector.select(QUIET):
            self.assertLess(anonymous_memory(self.server.pid), most)
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                with contextlib.suppress(BlockingIOError):
                    key.fileobj.send(data)

    def test_memory_of_a_thousand_is_bounded(self) -> None:
        before = anonymous_memory(self.server.pid)
        for _ in range(PEERS):
            self.connect()
        # What waits for each is its limit of 64 KiB and at most one more read; then its objects.
        self.send_until_all_are_stuck(before + PEERS * (64 + 64 + 8) * KIB)
