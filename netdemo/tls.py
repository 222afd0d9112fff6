"""TLS as a client: a server's certificate is trusted, valid now and for the host, or refused."""

from __future__ import annotations

import weakref
from inspect import getclosurevars
from typing import TYPE_CHECKING, Any, Final

from OpenSSL.SSL import VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER, X509VerificationCodes
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet._sslverify import ClientTLSOptions
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import SSL4ClientEndpoint, _WrapperEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from zope.interface import implementer

from netdemo.errors import (
    CertificateForAnotherHost,
    CertificateOutdated,
    CertificateRefused,
    CertificateUntrusted,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from OpenSSL.crypto import X509
    from OpenSSL.SSL import Connection
    from service_identity.hazmat import ServiceID
    from twisted.internet.interfaces import IStreamClientEndpoint
    from twisted.protocols.tls import TLSMemoryBIOProtocol

UNKNOWN_ISSUER: Final = frozenset(
    {
        X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT,
        X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
        X509VerificationCodes.ERR_CERT_SIGNATURE_FAILURE,  # another issuer of the same name
        X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN,
        X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
    }
)
"""OpenSSL's codes for a certificate that does not lead to one that is trusted."""


@implementer(IOpenSSLClientConnectionCreator)
class HostVerification:
    """Verifies in the place of Twisted, whose connections to ``host`` it is given.

    Twisted's own verification takes a certificate that names no host at all for any host, and
    has no word of why a certificate is not trusted.
    """

    def __init__(self, connections: IOpenSSLClientConnectionCreator, host: str) -> None:
        self._connections = connections
        self._host = host
        is_address = isIPAddress(host) or isIPv6Address(host)
        self._identity: ServiceID = IPAddress_ID(host) if is_address else DNS_ID(host)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:  # noqa: N803
        """Return a connection that ends ``tlsProtocol`` with what is wrong with a certificate."""
        connection = self._connections.clientConnectionForTLS(tlsProtocol)
        protocol = weakref.ref(tlsProtocol)  # which holds the connection, and that `verify`

        def verify(_: Connection, certificate: X509, code: int, depth: int, trusted: int) -> bool:
            try:
                self._verify(certificate, code, depth, bool(trusted))
            except Exception:
                ending = protocol()
                if ending is not None:
                    ending.failVerification(Failure())
                return False
            return True

        connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection

    def _verify(self, certificate: X509, code: int, depth: int, trusted: bool) -> None:
        """Raise what is wrong with ``certificate``: the server's at depth 0, above an issuer's."""
        shown = certificate.to_cryptography()
        if not trusted:
            raise _distrust(code, depth, shown)
        if depth:
            return
        try:
            verify_service_identity(extract_patterns(certificate), [self._identity], [])
        except VerificationError:
            text = f"the certificate is not for {self._host}"
            raise CertificateForAnotherHost(text, shown) from None
        except CertificateError:
            raise CertificateForAnotherHost("the certificate names no host", shown) from None


def _distrust(code: int, depth: int, shown: Certificate) -> CertificateRefused:
    if code in UNKNOWN_ISSUER:
        return CertificateUntrusted("the certificate's issuer is not trusted", shown)
    certificate = "the certificate of its issuer" if depth else "the certificate"
    if code == X509VerificationCodes.ERR_CERT_HAS_EXPIRED:
        return CertificateOutdated(f"{certificate} has expired", shown)
    if code == X509VerificationCodes.ERR_CERT_NOT_YET_VALID:
        return CertificateOutdated(f"{certificate} is not valid yet", shown)
    return CertificateRefused(f"{certificate} is not accepted (X.509 error {code})", shown)


def tls_to(host: str, **options: Any) -> IOpenSSLClientConnectionCreator:
    """Return what makes TLS connections to ``host``; ``options`` as of ``optionsForClientTLS``."""
    return HostVerification(optionsForClientTLS(host, **options), host)


def with_host_verification(endpoint: Any) -> IStreamClientEndpoint:
    """Return Twisted's ``endpoint``, if it is one of TLS, with the verification of this module.

    One that verifies no host (``ssl:`` without a ``hostname``) is returned as it is.
    """
    if isinstance(endpoint, SSL4ClientEndpoint):
        connections = endpoint._sslContextFactory
        if isinstance(connections, ClientTLSOptions):
            endpoint._sslContextFactory = HostVerification(connections, connections._hostname)
    elif isinstance(endpoint, _WrapperEndpoint):
        # What was given to wrapClientTLS is kept nowhere else.
        connections = getclosurevars(endpoint._wrapperFactory).nonlocals.get("connectionCreator")
        if isinstance(connections, ClientTLSOptions):
            verifying = HostVerification(connections, connections._hostname)
            return wrapClientTLS(verifying, endpoint._wrappedEndpoint)
    return endpoint  # type: ignore[no-any-return]
