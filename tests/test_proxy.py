"""`tests.proxy`: what it must hold for the tests of faults."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.proxy import End, Proxy


class EndTests(SynchronousTestCase):
    """One end of a connection, joined with another."""

    def test_what_waits_when_the_other_end_is_lost_goes_nowhere(self) -> None:
        clock: Any = Clock()
        proxy = Proxy(clock, 1)
        ends = End(proxy), End(proxy)
        for end in ends:
            end.makeConnection(Transport())
        ends[0].join(ends[1])
        ends[0].dataReceived(b"too late")
        ends[1].connectionLost(Failure(ConnectionDone()))
        clock.advance(0)
        self.assertTrue(ends[0].transport.disconnecting)

    def test_what_waits_when_it_stalls_is_forgotten_when_the_end_is_lost(self) -> None:
        clock: Any = Clock()
        proxy = Proxy(clock, 1)
        ends = End(proxy), End(proxy)
        for end in ends:
            end.makeConnection(Transport())
        ends[0].join(ends[1])
        ends[0].dataReceived(b"stalled")
        proxy.stall()
        for end in ends:
            end.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(ends[1].transport.value(), b"")


class Transport(StringTransport):
    """Has the option of TCP that is set."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing."""
