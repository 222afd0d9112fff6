"""`netdemo.tls`: which certificates a client takes, and what it says of the others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.connecting import client_endpoint
from netdemo.tls import HostVerification, tls_to, with_host_verification
from tests.certificates import DAY, Authority, write_certificate
from tests.folders import temporary_folder
from tests.handshakes import Client, over_tls, shake_hands
from tests.resolving import ResolvingReactor

if TYPE_CHECKING:
    from pathlib import Path


class TLSTestCase(SynchronousTestCase):
    """An authority that the client trusts."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.authority = Authority(self.folder / "authority.pem")
        self.client = Client()

    def issue(self, *names: str, **options: Any) -> Path:
        """Return a certificate of the trusted authority for hosts and addresses."""
        return self.authority.issue(self.folder / "server.pem", *names, **options)


class VerificationTests(TLSTestCase):
    """A server's certificate is taken, or refused with a reason."""

    def connect(self, host: str, server: Path, authority: Path | None = None) -> None:
        """Have the client connect to `host`, which shows a certificate."""
        trusted = Certificate.loadPEM((authority or self.authority.path).read_bytes())
        connections = tls_to(host, trustRoot=trusted)
        self.client = Client()
        self.assertTrue(verifyObject(IOpenSSLClientConnectionCreator, connections))
        shake_hands(over_tls(self.client, connections), server)

    def assert_refused(self, reason: str) -> None:
        """Check why the connection ended, before the client took the certificate."""
        self.assertEqual((reason, False), (self.client.reason, self.client.trusting))

    def test_certificate_for_the_host_is_taken(self) -> None:
        self.connect("mq.example", self.issue("other.example", "mq.example"))
        self.assertEqual((None, True), (self.client.reason, self.client.trusting))

    def test_certificate_for_the_address_is_taken(self) -> None:
        for address in ("192.0.2.1", "2001:db8::1"):
            self.connect(address, self.issue(address))
            self.assertEqual((None, True), (self.client.reason, self.client.trusting))

    def test_international_host_is_taken(self) -> None:
        self.connect("für.example", self.issue("xn--fr-xka.example"))
        self.assertEqual((None, True), (self.client.reason, self.client.trusting))

    def test_certificate_for_another_host_is_refused(self) -> None:
        self.connect("mq.example", self.issue("other.example"))
        self.assert_refused("the certificate is not for mq.example")

    def test_certificate_for_another_address_is_refused(self) -> None:
        self.connect("192.0.2.1", self.issue("192.0.2.2", "mq.example"))
        self.assert_refused("the certificate is not for 192.0.2.1")

    def test_certificate_that_names_no_host_is_refused(self) -> None:
        self.connect("mq.example", self.issue(common_name="mq.example"))
        self.assert_refused("the certificate names no host")

    def test_certificate_with_a_malformed_name_is_refused(self) -> None:
        self.connect("mq.example", self.issue("*.*.example"))
        self.assert_refused("the certificate names no host")

    def test_expired_certificate_is_refused(self) -> None:
        self.connect("mq.example", self.issue("mq.example", expires=timedelta(seconds=-1)))
        self.assert_refused("the certificate has expired")

    def test_certificate_of_the_future_is_refused(self) -> None:
        self.connect("mq.example", self.issue("mq.example", begins=DAY, expires=2 * DAY))
        self.assert_refused("the certificate is not valid yet")

    def test_expired_issuer_is_refused(self) -> None:
        self.authority = Authority(self.folder / "old.pem", expires=timedelta(seconds=-1))
        self.connect("mq.example", self.issue("mq.example"))
        self.assert_refused("the certificate of its issuer has expired")

    def test_certificate_of_an_unknown_issuer_is_refused(self) -> None:
        for name in ("The tests' own authority", "Another"):
            other = Authority(self.folder / "other.pem", name)
            self.connect("mq.example", self.issue("mq.example"), other.path)
            self.assert_refused("the certificate's issuer is not trusted")

    def test_certificate_that_nobody_has_signed_is_refused(self) -> None:
        write_certificate(self.folder / "own.pem")
        self.connect("localhost", self.folder / "own.pem")
        self.assert_refused("the certificate's issuer is not trusted")

    def test_certificate_of_a_client_is_refused(self) -> None:
        self.connect("mq.example", self.issue("mq.example", client=True))
        self.assert_refused("the certificate is not accepted (X.509 error 26)")


class EndpointTests(TLSTestCase):
    """Endpoints of Twisted's verify in the same way."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = ResolvingReactor()

    def refusal(self, address: str, server: Path) -> str | None:
        """Return why the client left the server at `address`, which shows a certificate."""
        endpoint = client_endpoint(address, self.reactor)
        endpoint.connect(Factory.forProtocol(lambda: self.client)).addErrback(lambda _: None)
        shake_hands(self.reactor.tcpClients[-1][2], server)
        return self.client.reason

    def test_tls_endpoint_refuses_a_certificate_that_names_no_host(self) -> None:
        address = f"tls:192.0.2.1:443:trustRoots={self.folder}"
        self.assertEqual("the certificate names no host", self.refusal(address, self.issue()))

    def test_tls_endpoint_takes_a_certificate_for_the_host(self) -> None:
        address = f"tls:192.0.2.1:443:trustRoots={self.folder}"
        self.assertIsNone(self.refusal(address, self.issue("192.0.2.1")))
        self.assertTrue(self.client.trusting)

    def test_ssl_endpoint_with_a_host_name_verifies_it(self) -> None:
        endpoint: Any = client_endpoint("ssl:192.0.2.1:443:hostname=mq.example", self.reactor)
        self.assertIsInstance(endpoint._sslContextFactory, HostVerification)

    def test_endpoint_that_verifies_no_host_is_left_as_it_is(self) -> None:
        for address in ("ssl:192.0.2.1:443", "tcp:192.0.2.1:80"):
            endpoint = clientFromString(self.reactor, address)
            self.assertIs(endpoint, with_host_verification(endpoint))
