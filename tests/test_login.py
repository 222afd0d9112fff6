"""What a peer says of itself, and what the network knows of it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import CertificateBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509
from pika.data import encode_table
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from netdemo.broker.login import Credentials, Peer, credentials, mechanisms, peer_of
from netdemo.errors import CommandInvalid, SyntaxRefused
from netdemo.transport import address_text

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

SECRET = b"s3cr3t"


def table(entries: dict[str, Any]) -> bytes:
    """Return an encoded table without its length, as AMQPLAIN has it."""
    pieces: list[bytes] = []
    encode_table(pieces, entries)
    return b"".join(pieces)[4:]


class CredentialsTests(SynchronousTestCase):
    """What a response says."""

    peer = Peer()

    def said(self, mechanism: str, response: bytes) -> Credentials:
        """Return what `response` says."""
        return credentials(mechanism, response, self.peer)

    def malformed(self, mechanism: str, response: bytes) -> str:
        """Return why `response` is refused; no piece of it is told."""
        error = self.assertRaises(SyntaxRefused, self.said, mechanism, response)
        self.assertNotIn(SECRET.decode(), str(error))
        self.assertIsNone(error.__cause__)
        return str(error.reply_text)

    def test_plain(self) -> None:
        self.assertEqual(Credentials("ann", b"pw"), self.said("PLAIN", b"\0ann\0pw"))

    def test_plain_may_be_empty(self) -> None:
        self.assertEqual(Credentials("", b""), self.said("PLAIN", b"\0\0"))

    def test_names_keep_bytes_that_are_no_utf_8(self) -> None:
        self.assertEqual("\udcff", self.said("PLAIN", b"\0\xff\0pw").name)

    def test_plain_to_act_as_another_is_refused_as_by_rabbitmq(self) -> None:
        expected = "SYNTAX_ERROR - PLAIN response invalid: expected NUL, user, NUL, password"
        self.assertEqual(expected, self.malformed("PLAIN", b"root\0ann\0" + SECRET))

    def test_malformed_plain_is_refused(self) -> None:
        for response in (b"", SECRET, b"\0" + SECRET, b"ann\0" + SECRET, b"\0a\0b\0" + SECRET):
            self.assertIn("PLAIN response invalid", self.malformed("PLAIN", response))

    def test_amqplain(self) -> None:
        response = table({"LANGUAGE": "en", "PASSWORD": "pw", "LOGIN": "ann"})
        self.assertEqual(Credentials("ann", b"pw"), self.said("AMQPLAIN", response))

    def test_amqplain_without_a_field_is_refused(self) -> None:
        for response in (b"", table({"LOGIN": "ann"}), table({"PASSWORD": SECRET.decode()})):
            self.assertEqual(
                "SYNTAX_ERROR - AMQPLAIN auth info is missing LOGIN or PASSWORD field",
                self.malformed("AMQPLAIN", response),
            )

    def test_amqplain_of_another_type_is_refused(self) -> None:
        for entries in ({"LOGIN": "ann", "PASSWORD": 1}, {"LOGIN": 1, "PASSWORD": "s3cr3t"}):
            self.assertIn("unsupported type", self.malformed("AMQPLAIN", table(entries)))

    def test_amqplain_that_is_no_table_is_refused(self) -> None:
        whole = table({"LOGIN": "ann", "PASSWORD": SECRET.decode()})
        deep = b"\x01aF" + struct.pack(">I", 10)
        for response in (SECRET, whole[:-1], whole + b"\xff", deep * 20_000):
            expected = "SYNTAX_ERROR - AMQPLAIN response invalid: expected a table"
            self.assertEqual(expected, self.malformed("AMQPLAIN", response))

    def test_external_is_the_certificates_common_name(self) -> None:
        self.peer = Peer(common_name="ann")
        self.assertEqual(Credentials("ann", None), self.said("EXTERNAL", b"bob"))

    def test_external_without_a_certificate_is_refused(self) -> None:
        error = self.assertRaises(CommandInvalid, self.said, "EXTERNAL", b"")
        self.assertEqual(
            "COMMAND_INVALID - invalid authentication mechanism 'EXTERNAL'", error.reply_text
        )

    def test_unknown_mechanism_is_refused(self) -> None:
        for mechanism in ("", "plain", "RABBIT-CR-DEMO"):
            error = self.assertRaises(CommandInvalid, self.said, mechanism, b"")
            self.assertEqual(
                f"COMMAND_INVALID - unknown authentication mechanism '{mechanism}'",
                error.reply_text,
            )

    def test_password_is_not_shown(self) -> None:
        self.assertEqual("Credentials(name='ann')", repr(Credentials("ann", SECRET)))


class PeerTests(SynchronousTestCase):
    """What a transport knows."""

    def peer(self, address: IAddress) -> Peer:
        """Return the peer at `address`."""
        return peer_of(StringTransport(peerAddress=address))

    def check(self, host: str, loopback: bool) -> None:
        """Look at a peer from `host`."""
        kind = IPv6Address if ":" in host else IPv4Address
        address = kind("TCP", host, 5)
        self.assertEqual(Peer(address_text(address), loopback), self.peer(address))

    def test_loopback_is_this_machine(self) -> None:
        for host in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
            self.check(host, loopback=True)

    def test_others_are_not(self) -> None:
        for host in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "0.0.0.0"):
            self.check(host, loopback=False)

    def test_unix_socket_is_this_machine(self) -> None:
        self.assertEqual(Peer("unix socket", loopback=True), self.peer(UNIXAddress(None)))

    def test_certificate_has_a_name(self) -> None:
        self.assertEqual("ann", self.certified("ann").common_name)

    def test_no_certificate_has_none(self) -> None:
        self.assertIsNone(self.certified(None).common_name)

    def test_certificate_of_none_or_two_has_none(self) -> None:
        for names in ((), ("ann", "bob")):
            self.assertIsNone(self.certified(*names).common_name)

    def test_external_is_offered_for_a_certificate_alone(self) -> None:
        self.assertEqual("PLAIN AMQPLAIN", mechanisms(self.certified(None)))
        self.assertEqual("PLAIN AMQPLAIN EXTERNAL", mechanisms(self.certified("ann")))

    def certified(self, *names: str | None) -> Peer:
        """Return a peer with a certificate of these common names, or for ``None`` without one."""
        certificate = None if None in names else self.certificate(*names)
        transport: Any = StringTransport()
        directlyProvides(transport, ISSLTransport)
        transport.getPeerCertificate = lambda: certificate
        return peer_of(transport)

    def certificate(self, *names: Any) -> X509:
        """Return a certificate as pyOpenSSL has it."""
        subject = Name([NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        key = ec.generate_private_key(ec.SECP256R1())
        return X509.from_cryptography(
            CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2001, 1, 1, tzinfo=UTC))
            .sign(key, SHA256())
        )
