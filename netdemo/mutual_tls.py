"""``mtls:``, an endpoint for TLS servers whose clients have to show a certificate.

Twisted's own ``ssl:`` asks none for it. What is heavy is imported when such an endpoint is made,
since every twistd that listens imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamServerEndpoint


@implementer(IPlugin, IStreamServerEndpointStringParser)
class MutualTLSParser:
    """Makes endpoints of ``mtls:PORT:caCerts=FILE:privateKey=FILE:certKey=FILE:interface=HOST``.

    ``caCerts`` holds the certificates of the authorities that have signed those of clients; the
    rest is as with ``ssl:``. Files are in PEM, and are read once.
    """

    prefix = "mtls"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:
        """Return an endpoint.

        :raises Exception: of any kind, as all of Twisted's parsers, for what is malformed.
        """
        return _endpoint(reactor, *args, **kwargs)


def _endpoint(
    reactor: Any,
    port: str,
    caCerts: str,  # noqa: N803  # as ssl: spells its own
    privateKey: str = "server.pem",  # noqa: N803
    certKey: str | None = None,  # noqa: N803
    interface: str = "",
    backlog: str = "50",
) -> IStreamServerEndpoint:
    from twisted.internet.endpoints import SSL4ServerEndpoint

    options = _options(caCerts, privateKey, certKey or privateKey)
    return SSL4ServerEndpoint(reactor, int(port), options, int(backlog), interface)


def _options(authorities: str, private_key: str, certificate: str) -> Any:
    from pathlib import Path

    from cryptography import x509
    from OpenSSL.crypto import X509
    from twisted.internet.ssl import Certificate, PrivateCertificate

    # At least one, or it raises: with none, no client would be asked for a certificate.
    trusted = x509.load_pem_x509_certificates(Path(authorities).read_bytes())
    pem = Path(certificate).read_bytes() + b"\n" + Path(private_key).read_bytes()
    ours = PrivateCertificate.loadPEM(pem)
    return ours.options(*(Certificate(X509.from_cryptography(each)) for each in trusted))
