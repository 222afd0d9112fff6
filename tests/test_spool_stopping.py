"""Stopping a push route with a spool: what was read is on disk, and its clients are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdemo.bridge.intake import IntakeProtocol
from netdemo.bridge.push import PushFactory
from tests.spooling import SpoolTestCase
from tests.wire import Wire

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class SpoolStoppingTestCase(SpoolTestCase):
    """Clients of a route whose spool, or window, has room for two records; the broker is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.halt)
        self.broker.stop()
        self.outlet = self.outlets[0]
        self.factory = PushFactory(self.outlet.route, self.outlet, self.network.clock)

    def connect(self) -> tuple[IntakeProtocol, Wire]:
        """Connect a client."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, IntakeProtocol)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        self.addCleanup(wire.end)
        return protocol, wire

    def stop_all(self) -> Deferred[None]:
        """Stop the route and then the spool, as the bridge does; return when the route has."""
        stopped = self.factory.stop()
        self.result(self.service.stopService(), 2)
        return stopped


class FullSpoolTests(SpoolStoppingTestCase):
    """The spool is at its limit."""

    ack = True
    limit = 200

    def test_what_was_read_goes_beyond_the_limit_and_is_answered(self) -> None:
        clients = [self.connect() for _ in range(3)]
        for client, _ in clients:
            client.dataReceived(b"x" * 100 + b"\n" + b"a\n" * 20)
        self.network.advance(1)
        self.assertTrue(self.spool().full)
        stopped = self.stop_all()
        for _, wire in clients:
            self.assertEqual(b"OK\n" * 21, wire.value())
            wire.end()
        self.successResultOf(stopped)
        self.start()
        self.assertEqual([63], [route.records for route in self.spool().stored])

    def test_the_limit_holds_again_when_the_route_has_stopped(self) -> None:
        self.send(b"x" * 100)
        self.successResultOf(self.factory.stop())
        self.assertTrue(self.outlet.window.full)


class RouteRemovedTests(SpoolStoppingTestCase):
    """The spool is at its limit, nothing is answered, and the spool goes on."""

    limit = 200

    def test_what_was_read_of_a_client_that_left_is_kept(self) -> None:
        self.send(b"x" * 100)
        client, wire = self.connect()
        wire.resumeProducing()
        client.dataReceived(b"a\nb\n")
        wire.end()  # TLS brings the last records and the end at once
        self.network.advance(1)
        self.assertEqual(1, self.outlet.stored)
        stopped = self.factory.stop()
        self.network.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(3, self.outlet.stored)


class FullDiskTests(SpoolStoppingTestCase):
    """The disk is full, and more was read than is tried at once."""

    ack = True

    def test_all_that_was_read_is_refused(self) -> None:
        self.outlet.window.message_limit = 2
        client, wire = self.connect()
        self.disk.fill()
        client.dataReceived(b"a\n" * 9)
        stopped = self.stop_all()
        self.assertEqual(9, wire.value().count(b"ERR spool-full"))
        wire.end()
        self.successResultOf(stopped)
