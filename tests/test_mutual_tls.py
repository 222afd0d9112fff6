"""Endpoints whose clients show a certificate, and what the broker's logins see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor
from twisted.plugin import IPlugin
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.broker.login import Peer, peer_of
from netdemo.listening import check_endpoint
from netdemo.mutual_tls import MutualTLSParser
from tests.certificates import Authority
from tests.folders import temporary_folder
from tests.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path


class Noting(Protocol):
    """Notes what is known of its peer when its first byte comes; as a client it sends one."""

    peer: Peer | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"x")

    def dataReceived(self, data: bytes) -> None:  # noqa: ARG002
        assert self.transport is not None
        self.peer = peer_of(self.transport)


class MutualTLSTests(SynchronousTestCase):
    """``mtls:`` between two ends in memory."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.authority = Authority(self.folder / "ca.pem")
        self.authority.issue(self.folder / "server.pem", "localhost")
        self.endpoint = self.string()

    def string(self, **changes: str) -> str:
        """Return an endpoint with the files of this test, or others."""
        files = {"caCerts": "ca.pem", "privateKey": "server.pem", **changes}
        words = (f"{name}={self.folder}/{file}" for name, file in files.items())
        return ":".join(("mtls:5671", *words, "interface=127.0.0.1"))

    def options(self, path: Path | None) -> Any:
        """Return TLS for a client with this certificate."""
        trusted = Certificate.loadPEM((self.folder / "ca.pem").read_bytes())
        own = None if path is None else PrivateCertificate.loadPEM(path.read_bytes())
        return optionsForClientTLS("localhost", trusted, own)

    def seen(self, certificate: Path | None) -> Peer | None:
        """Return what a server sees of a client; ``None`` if it does not let it in."""
        endpoint: Any = serverFromString(MemoryReactor(), self.endpoint)
        server, client = Factory.forProtocol(Noting), Factory.forProtocol(Noting)
        ends: list[Any] = []
        clock = Clock()
        for is_client, context, factory in (
            (False, endpoint._sslContextFactory, server),
            (True, self.options(certificate), client),
        ):
            tls = TLSMemoryBIOFactory(context, is_client, factory, clock)
            ends.append(tls.buildProtocol(None))
        wires = [Wire(end) for end in ends]
        for end, wire in zip(ends, wires, strict=True):
            end.makeConnection(wire)
        while any(wire.value() for wire in wires):
            for wire, other in zip(wires, ends[::-1], strict=True):
                data = wire.value()
                wire.clear()
                if data and other.transport.connected:
                    other.dataReceived(data)
            clock.advance(0)  # small writes go together
        peer: Peer | None = ends[0].wrappedProtocol.peer
        for wire in wires:
            wire.end()
        return peer

    def test_it_is_a_parser_and_a_plugin(self) -> None:
        for interface in (IStreamServerEndpointStringParser, IPlugin):
            self.assertTrue(verifyObject(interface, MutualTLSParser()))

    def test_it_is_found_by_twisted(self) -> None:
        endpoint: Any = serverFromString(MemoryReactor(), self.endpoint)
        self.assertIsInstance(endpoint, SSL4ServerEndpoint)
        self.assertEqual((5671, "127.0.0.1"), (endpoint._port, endpoint._interface))

    def test_client_of_the_authority_is_let_in_by_its_name(self) -> None:
        path = self.authority.issue(self.folder / "ann.pem", common_name="ann", client=True)
        seen = self.seen(path)
        assert seen is not None
        self.assertEqual("ann", seen.common_name)

    def test_client_without_a_certificate_is_not(self) -> None:
        self.assertIsNone(self.seen(None))

    def test_client_of_another_authority_is_not(self) -> None:
        other = Authority(self.folder / "other.pem", "Another")
        path = other.issue(self.folder / "ann.pem", common_name="ann", client=True)
        self.assertIsNone(self.seen(path))

    def test_certificate_of_a_server_is_not(self) -> None:
        self.assertIsNone(self.seen(self.authority.issue(self.folder / "ann.pem", "ann")))

    def test_key_may_have_a_file_of_its_own(self) -> None:
        self.authority.issue(self.folder / "c.pem", "localhost", key_path=self.folder / "k.pem")
        self.endpoint = self.string(privateKey="k.pem", certKey="c.pem")
        path = self.authority.issue(self.folder / "ann.pem", common_name="ann", client=True)
        self.assertIsNotNone(self.seen(path))

    def test_authorities_are_needed(self) -> None:
        (self.folder / "none.pem").touch()
        for endpoint in (
            self.string(caCerts="none.pem"),
            self.string(caCerts="missing.pem"),
            f"mtls:5671:privateKey={self.folder}/server.pem",
        ):
            error = self.assertRaises(ValueError, check_endpoint, endpoint, MemoryReactor())
            self.assertIn(f"bad endpoint '{endpoint}': ", str(error))
