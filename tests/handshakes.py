"""Handshakes of TLS in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.x509.oid import NameOID
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, connect
from zope.interface import implementer

from netdemo.connecting import connection_reason

if TYPE_CHECKING:
    from pathlib import Path

    from twisted.python.failure import Failure


@implementer(IHandshakeListener)
class Client(Protocol):
    """Says how the handshake went, and why the connection ended."""

    trusting = False
    reason: str | None = None

    def handshakeCompleted(self) -> None:
        self.trusting = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.value is not None
        self.reason = connection_reason(reason.value)


@implementer(IHandshakeListener)
class Server(Protocol):
    """Looks at whom it is connected to."""

    client: str | None = None
    """The common name in the client's certificate."""

    def handshakeCompleted(self) -> None:
        transport: Any = self.transport
        certificate = transport.getPeerCertificate()
        if certificate is not None:
            subject = certificate.to_cryptography().subject
            (name,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            self.client = name.value


def over_tls(client: Client, connections: Any) -> TLSMemoryBIOFactory:
    """Return what has `client` speak TLS."""
    return TLSMemoryBIOFactory(connections, True, Factory.forProtocol(lambda: client), Clock())


def shake_hands(
    factory: Any, server: Path, authority: Path | None = None, *, demanding: bool = False
) -> str | None:
    """Connect what `factory` builds to a server; return the common name in its certificate.

    The server takes certificates of `authority`, and demands one if it is `demanding`.
    """
    trusted = () if authority is None else (Certificate.loadPEM(authority.read_bytes()),)
    options = PrivateCertificate.loadPEM(server.read_bytes()).options(*trusted)
    options.requireCertificate = demanding
    seen = Server()
    listening = TLSMemoryBIOFactory(options, False, Factory.forProtocol(lambda: seen), Clock())
    server_end, client_end = listening.buildProtocol(None), factory.buildProtocol(None)
    assert server_end is not None
    pump = connect(
        server_end,
        FakeTransport(server_end, isServer=True),
        client_end,
        FakeTransport(client_end, isServer=False),
    )
    pump.flush()
    return seen.client
