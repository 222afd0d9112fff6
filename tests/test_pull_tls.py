"""`netdemo.bridge.sending` under TLS: what is not encrypted counts as not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import task
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock, Cooperator
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.certificates import write_certificate
from tests.folders import temporary_folder
from tests.pulling import PullTestCase
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

UNITS = 100


def units() -> Callable[[], bool]:
    """Have Twisted ask a pull producer under TLS so often before the reactor turns."""
    left = iter(range(UNITS))
    return lambda: next(left, None) is None


class TurningWire(Wire):
    """A transport in memory that is aborted in the reactor's next turn, as that of TCP is."""

    turns: Clock

    def abortConnection(self) -> None:
        self.turns.callLater(0, self.end)


class TLSTestCase(PullTestCase):
    """A client that is connected over TLS, and has not shaken hands yet."""

    def setUp(self) -> None:
        super().setUp()
        self.turns = Clock()
        self.patch(task, "_theCooperator", Cooperator(units, self._soon))
        folder = temporary_folder(self)
        write_certificate(folder / "tls.pem")
        self.certificate = PrivateCertificate.loadPEM((folder / "tls.pem").read_text())
        self.server: Any = self.factory_over_tls().buildProtocol(None)
        self.wire = TurningWire(self.server)
        self.wire.turns = self.turns
        self.addCleanup(self.turn)
        self.addCleanup(self.wire.end)
        self.server.makeConnection(self.wire)

    def factory_over_tls(self) -> Any:
        """Return what builds both, the route's protocol and TLS under it."""
        return TLSMemoryBIOFactory(self.certificate.options(), False, self.factory, self.turns)

    def _soon(self, call: Any) -> Any:
        return self.turns.callLater(0, call)

    def turn(self) -> None:
        """Let the reactor turn."""
        for _ in range(5):
            self.turns.advance(0)
            self.network.advance()

    def shake_hands(self) -> tuple[Any, Wire]:
        """Be the client; return its end."""
        tls = TLSMemoryBIOFactory(
            CertificateOptions(), True, Factory.forProtocol(Protocol), self.turns
        )
        client: Any = tls.buildProtocol(None)
        wire = Wire(client)
        self.addCleanup(wire.end)
        client.makeConnection(wire)
        self.exchange(client, wire)
        return client, wire

    def exchange(self, client: Any, wire: Wire) -> None:
        """Hand over what both have written, and whatever comes of it."""
        while wire.value() or self.wire.value():
            for transport, other in ((wire, self.server), (self.wire, client)):
                data = transport.value()
                transport.clear()
                if data:
                    other.dataReceived(data)


class SilentTests(TLSTestCase):
    """Who has not shaken hands."""

    def test_nothing_is_taken_for_it(self) -> None:
        self.publish(b"a", b"b")
        self.turn()
        self.assertEqual((self.ready(), self.factory.delivered), (2, 0))

    def test_it_has_what_there_is_afterwards(self) -> None:
        self.publish(b"a", b"b")
        self.turn()
        self.shake_hands()
        self.turn()
        self.assertEqual((self.ready(), self.factory.delivered), (0, 2))

    def test_stopped_before_it_is_consumed_for_never(self) -> None:
        (protocol,) = self.factory.connections
        stopping = self.factory.stop()
        protocol.handshakeCompleted()
        self.publish(b"a")
        self.turn()
        self.assertEqual(self.ready(), 1)
        self.result(stopping)


class BehindProxyTests(TLSTestCase):
    """Behind haproxy, whose header comes inside TLS: the route is not told of the handshake."""

    def factory_over_tls(self) -> Any:
        options = self.certificate.options()
        return TLSMemoryBIOFactory(options, False, HAProxyWrappingFactory(self.factory), self.turns)

    def test_who_has_not_shaken_hands_gives_back_what_was_for_it(self) -> None:
        self.publish(b"a", b"b")
        self.turn()
        self.assertEqual((self.ready(), self.factory.delivered), (0, 0))
        self.wire.end()
        self.network.advance()
        self.assertEqual((self.ready(), self.factory.delivered), (2, 0))

    def test_who_has_afterwards_has_what_there_is(self) -> None:
        self.publish(b"a", b"b")
        self.turn()
        self.shake_hands()
        self.turn()
        self.assertEqual(self.factory.delivered, 2)


class EndedTests(TLSTestCase):
    """Who has ended TLS, while the connection under it still is to end."""

    def test_takes_no_message(self) -> None:
        client, wire = self.shake_hands()
        self.network.advance()
        self.publish(b"a", b"b")
        client.loseConnection()
        self.server.dataReceived(wire.value())
        self.assertTrue(self.wire.disconnecting)
        self.turn()
        self.wire.end()
        self.network.advance()
        self.assertEqual((self.ready(), self.factory.delivered), (2, 0))
