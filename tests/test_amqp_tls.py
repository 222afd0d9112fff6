"""TLS in a broker's URL: own authorities, own certificate, and what is refused."""

from __future__ import annotations

import os
from traceback import format_exception
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pika.credentials import ExternalCredentials, PlainCredentials
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.amqp.broker_url import BrokerURL
from netdemo.errors import BrokerURLError
from tests.certificates import Authority
from tests.folders import temporary_folder
from tests.handshakes import Client, over_tls, shake_hands

PASSWORD = "s3cret"


class TLSTestCase(SynchronousTestCase):
    """A folder, that is the current one, with an authority and what it has signed."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.authority = Authority(self.folder / "ca.pem")
        self.server = self.authority.issue(self.folder / "server.pem", "mq.example")
        self.authority.issue(self.folder / "client.pem", common_name="ann", client=True)


class HandshakeTests(TLSTestCase):
    """The parameters do what they say, in a handshake with a broker in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.client = Client()

    def name(self, query: str, host: str = "mq.example", *, demanding: bool = False) -> str | None:
        """Return who the client is for the broker, in a handshake with nothing to object to."""
        shown = self.connect(query, host, demanding=demanding)
        self.assertEqual((True, None), (self.client.trusting, self.client.reason))
        return shown

    def refusal(self, query: str, host: str = "mq.example", *, demanding: bool = False) -> str:
        """Return why the client's connection has ended."""
        self.connect(query, host, demanding=demanding)
        assert self.client.reason is not None
        return self.client.reason

    def connect(self, query: str, host: str, *, demanding: bool) -> str | None:
        """Connect to a broker; return who the client is for it."""
        connections: Any = BrokerURL.parse(f"amqps://{host}/?{query}").connections
        self.assertTrue(verifyObject(IOpenSSLClientConnectionCreator, connections))
        return shake_hands(
            over_tls(self.client, connections),
            self.server,
            self.authority.path,
            demanding=demanding,
        )

    def test_own_authority_is_trusted(self) -> None:
        self.assertIsNone(self.name("cacertfile=ca.pem&verify=verify_peer"))

    def test_own_authority_is_trusted_as_pika_writes_it(self) -> None:
        text = quote((self.folder / "ca.pem").read_text().replace("\n", "\\n"))
        for name, value in (
            ("ca_certs", "ca.pem"),
            ("cafile", "ca.pem"),
            ("ca_path", "."),
            ("capath", "."),
            ("ca_data", text),
            ("cadata", text),
        ):
            self.assertIsNone(self.name(f"ssl_options={{'{name}': '{value}', 'password': None}}"))

    def test_without_it_the_issuer_is_not_trusted(self) -> None:
        self.assertEqual("the certificate's issuer is not trusted", self.refusal(""))
        self.assertEqual("the certificate's issuer is not trusted", self.refusal("ssl_options={}"))

    def test_other_authority_is_not_trusted(self) -> None:
        Authority(self.folder / "other.pem")
        self.assertEqual(
            "the certificate's issuer is not trusted", self.refusal("cacertfile=other.pem")
        )

    def test_certificate_for_another_host_is_refused(self) -> None:
        self.assertEqual(
            "the certificate is not for mq2.example",
            self.refusal("cacertfile=ca.pem", "mq2.example"),
        )

    def test_certificate_may_be_for_a_host_that_is_named(self) -> None:
        for query in (
            "cacertfile=ca.pem&server_name_indication=mq.example",
            "ssl_options={'cafile': 'ca.pem', 'server_hostname': 'mq.example'}",
        ):
            self.assertIsNone(self.name(query, "192.0.2.1"))

    def test_certificate_that_names_no_host_is_refused(self) -> None:
        self.authority.issue(self.server, common_name="mq.example")
        self.assertEqual("the certificate names no host", self.refusal("cacertfile=ca.pem"))

    def test_own_certificate_is_shown(self) -> None:
        for query in (
            "cacertfile=ca.pem&certfile=client.pem",
            "ssl_options={'cafile': 'ca.pem', 'certfile': 'client.pem'}",
        ):
            self.assertEqual("ann", self.name(query, demanding=True))

    def test_own_certificate_and_its_key_may_be_in_two_files(self) -> None:
        key = self.folder / "key.pem"
        self.authority.issue(self.folder / "cert.pem", common_name="bob", client=True, key_path=key)
        for query in (
            "cacertfile=ca.pem&certfile=cert.pem&keyfile=key.pem",
            "ssl_options={'cafile': 'ca.pem', 'certfile': 'cert.pem', 'keyfile': 'key.pem'}",
        ):
            self.assertEqual("bob", self.name(query, demanding=True))

    def test_key_with_a_password_is_read(self) -> None:
        self.authority.issue(
            self.folder / "client.pem",
            common_name="eve",
            client=True,
            password=PASSWORD.encode(),
        )
        files = "'cafile': 'ca.pem', 'certfile': 'client.pem'"
        query = f"ssl_options={{{files}, 'password': '{PASSWORD}'}}"
        self.assertEqual("eve", self.name(query, demanding=True))

    def test_certificates_above_ours_are_shown_with_it(self) -> None:
        middle = Authority(self.folder / "middle.pem", "Middle", issuer=self.authority)
        middle.issue(self.folder / "client.pem", common_name="ann", client=True)
        with (self.folder / "client.pem").open("ab") as file:
            file.write(middle.path.read_bytes())
        query = "cacertfile=ca.pem&certfile=client.pem"
        self.assertEqual("ann", self.name(query, demanding=True))

    def test_files_are_read_when_the_url_is(self) -> None:
        url = BrokerURL.parse("amqps://mq.example/?cacertfile=ca.pem&certfile=client.pem")
        for name in ("ca.pem", "client.pem"):
            (self.folder / name).rename(self.folder / f"{name}.old")
        self.authority.path = self.folder / "ca.pem.old"
        shown = shake_hands(
            over_tls(self.client, url.connections), self.server, self.authority.path, demanding=True
        )
        self.assertEqual("ann", shown)

    def test_broker_that_demands_a_certificate_says_so(self) -> None:
        self.assertEqual(
            "TLS: the other side says: certificate required",
            self.refusal("cacertfile=ca.pem", demanding=True),
        )

    def test_ciphers_are_those_that_are_named(self) -> None:
        named = "ECDHE-ECDSA-AES128-GCM-SHA256"
        url = BrokerURL.parse(f"amqps://mq.example/?ssl_options={{'ciphers': '{named}'}}")
        assert url.connections is not None
        speaking: Any = over_tls(self.client, url.connections).buildProtocol(None)
        ciphers = url.connections.clientConnectionForTLS(speaking).get_cipher_list()
        self.assertEqual([named], [each for each in ciphers if not each.startswith("TLS_")])


class LoginTests(TLSTestCase):
    """How to log in."""

    def credentials(self, query: str) -> object:
        """Return how a URL logs in."""
        return BrokerURL.parse(f"amqps://ann:pass@mq.example/?{query}").parameters.credentials

    def test_external_is_by_the_certificate(self) -> None:
        for query in (
            "certfile=client.pem&auth_mechanism=external",
            "ssl_options={'certfile': 'client.pem'}&auth_mechanism=external",
        ):
            self.assertEqual(ExternalCredentials(), self.credentials(query))

    def test_plain_is_by_user_and_password(self) -> None:
        for query in ("auth_mechanism=plain", "certfile=client.pem"):
            self.assertEqual(PlainCredentials("ann", "pass"), self.credentials(query))


class RefusalTests(TLSTestCase):
    """What can't be understood is one line that says what was expected, and tells no password."""

    def assert_refused(self, query: str, reason: str, scheme: str = "amqps") -> None:
        """Check what is said of a URL with the parameters of `query`."""
        url = f"{scheme}://ann:{PASSWORD}@mq.example/?{query}"
        error = self.assertRaises(BrokerURLError, BrokerURL.parse, url)
        self.assertEqual(f"bad broker URL '{scheme}://***@mq.example/': {reason}", str(error))
        trace = "".join(format_exception(error))
        self.assertNotIn(PASSWORD, trace)

    def test_without_tls(self) -> None:
        for parameter in (
            "cacertfile=ca.pem",
            "certfile=client.pem",
            "server_name_indication=mq",
            "verify=verify_peer",
            "auth_mechanism=external",
            "ssl_options={}",
        ):
            name = parameter.partition("=")[0]
            reason = f"parameter {name!r} is for TLS: expected amqps://"
            self.assert_refused(f"heartbeat=5&{parameter}", reason, "amqp")

    def test_missing_file(self) -> None:
        for query in (
            "cacertfile=none.pem",
            "certfile=none.pem",
            "certfile=client.pem&keyfile=none.pem",
            "ssl_options={'ca_path': 'none.pem'}",
        ):
            self.assert_refused(query, "'none.pem': No such file or directory")

    def test_name_that_no_file_can_have(self) -> None:
        self.assert_refused("cacertfile=a%00b", r"'a\x00b': not the name of a file")
        self.assert_refused("ssl_options={'capath': 'a\\0b'}", r"'a\x00b': not the name of a file")

    def test_file_that_holds_no_certificates(self) -> None:
        (self.folder / "poem.txt").write_text("poem")
        for query in ("cacertfile=poem.txt", "certfile=poem.txt"):
            self.assert_refused(query, "'poem.txt': expected certificates in PEM")

    def test_file_without_an_end(self) -> None:
        self.assert_refused("cacertfile=/dev/zero", "'/dev/zero': expected at most 16777216 bytes")

    def test_folder_without_certificates(self) -> None:
        (self.folder / "empty").mkdir()
        (self.folder / "empty" / "poem.txt").write_text("poem")
        self.assert_refused(
            "ssl_options={'ca_path': 'empty'}", "'empty': expected files of certificates in PEM"
        )

    def test_text_that_holds_no_certificates(self) -> None:
        self.assert_refused(
            "ssl_options={'ca_data': 'poem'}", "ca_data: expected certificates in PEM"
        )

    def test_certificate_without_its_key(self) -> None:
        self.assert_refused("certfile=ca.pem", "'ca.pem': expected a key in PEM")

    def test_key_of_another_certificate(self) -> None:
        self.assert_refused(
            "certfile=client.pem&keyfile=server.pem",
            "'server.pem': expected the key of the first certificate in 'client.pem'",
        )

    def test_key_that_can_sign_nothing(self) -> None:
        key = X25519PrivateKey.generate()
        data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "key.pem").write_bytes(data)
        self.assert_refused(
            "certfile=client.pem&keyfile=key.pem", "'key.pem': expected a key for signatures"
        )

    def test_key_that_openssl_finds_too_short(self) -> None:
        key = rsa.generate_private_key(65537, 1024)
        self.authority.issue(self.folder / "short.pem", client=True, key=key)
        self.assert_refused(
            "certfile=short.pem", "'short.pem': not accepted: TLS: ee key too small"
        )

    def test_key_alone(self) -> None:
        self.assert_refused(
            "keyfile=client.pem", "a keyfile is given and no certfile; expected both, or none"
        )

    def test_password_of_a_key_that_is_missing_wrong_or_too_much(self) -> None:
        secret = self.folder / "secret.pem"
        self.authority.issue(secret, client=True, password=b"other")
        password = f"'password': '{PASSWORD}'"
        for name, more, expected in (
            ("secret.pem", "", "a password for it"),
            ("secret.pem", password, "a key in PEM, of this password"),
            ("client.pem", password, "a key with a password"),
        ):
            self.assert_refused(
                f"ssl_options={{'certfile': '{name}', {more}}}", f"'{name}': expected {expected}"
            )

    def test_verification_can_not_be_switched_off(self) -> None:
        self.assert_refused(
            "verify=verify_none", "a certificate is always verified: expected verify=verify_peer"
        )
        for name in ("cert_reqs", "check_hostname"):
            self.assert_refused(
                f"ssl_options={{'{name}': 0}}",
                f"ssl_options: {name!r} is not supported, and a certificate is always verified; "
                "expected some of ca_certs, ca_data, ca_path, cadata, cafile, capath, certfile, "
                "ciphers, keyfile, password, server_hostname",
            )

    def test_options_of_pika_that_are_none(self) -> None:
        for text in ("x", "None", "[]", "{1: 2}", f"{PASSWORD}(", "{'password': " + PASSWORD + "}"):
            self.assert_refused(
                f"ssl_options={text}", "ssl_options: expected a dictionary as Python writes it"
            )
        self.assert_refused(
            "ssl_options={'password': 5}", "ssl_options: expected a text as 'password'"
        )
        self.assert_refused(
            "ssl_options={'cafile': 'ca.pem', 'ca_certs': 'ca.pem'}",
            "ssl_options: 'ca_certs' is given under two names",
        )

    def test_options_of_pika_and_of_rabbitmq_together(self) -> None:
        self.assert_refused(
            "ssl_options={}&certfile=client.pem",
            "ssl_options and certfile are given; expected all in ssl_options, or none",
        )

    def test_ciphers_that_openssl_does_not_know(self) -> None:
        self.assert_refused(
            "ssl_options={'ciphers': 'poem'}", "ssl_options: expected ciphers that OpenSSL knows"
        )

    def test_host_that_no_certificate_can_be_for(self) -> None:
        for host in ("a..b", "123", "*", "x" * 64):
            reason = f"{host!r} is no host that a certificate can be for"
            self.assert_refused(f"server_name_indication={host}", reason)

    def test_mechanism_that_is_none_of_ours(self) -> None:
        self.assert_refused("auth_mechanism=gssapi", "auth_mechanism: expected plain or external")

    def test_external_without_a_certificate(self) -> None:
        self.assert_refused(
            "auth_mechanism=external", "auth_mechanism=external: expected a certfile"
        )

    def test_repr_and_text_name_no_password(self) -> None:
        self.authority.issue(self.folder / "client.pem", client=True, password=PASSWORD.encode())
        query = f"ssl_options={{'certfile': 'client.pem', 'password': '{PASSWORD}'}}"
        url = BrokerURL.parse(f"amqps://mq.example/?{query}")
        self.assertEqual("BrokerURL()amqps://mq.example:5671/", f"{url!r}{url}")
