"""The poetry server under TLS, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.poetry.lingering import LINGER
from netdemo.poetry.server import PoetryFactory
from tests.certificates import write_certificate
from tests.folders import temporary_folder
from tests.wire import Wire


class HandshakeTests(SynchronousTestCase):
    """A peer that does not shake hands."""

    def setUp(self) -> None:
        folder = temporary_folder(self)
        write_certificate(folder / "tls.pem")
        certificate = PrivateCertificate.loadPEM((folder / "tls.pem").read_text())
        self.clock = Clock()
        self.factory = PoetryFactory(folder / "none.txt", self.clock)
        tls = TLSMemoryBIOFactory(certificate.options(), False, self.factory, self.clock)
        protocol: Any = tls.buildProtocol(None)
        self.transport = Wire(protocol)
        self.addCleanup(self.transport.end)
        with capturedLogs() as self.logged:
            protocol.makeConnection(self.transport)

    def test_it_is_closed_after_a_silence(self) -> None:
        self.clock.advance(LINGER)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(LINGER)
        self.assertTrue(self.transport.disconnecting)

    def test_protocol_listens_for_the_handshake(self) -> None:
        (protocol,) = self.factory.connections
        self.assertTrue(verifyObject(IHandshakeListener, protocol))

    def test_file_is_not_opened_before(self) -> None:
        self.assertEqual([], [event for event in self.logged if "reason" in event])

    def test_no_timer_is_left_when_it_leaves(self) -> None:
        self.transport.end()
        self.assertEqual([], self.clock.getDelayedCalls())
