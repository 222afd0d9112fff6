"""Certificates for tests of TLS: of an authority of the tests' own, or that nobody has signed."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName

DAY = timedelta(days=1)


class Authority:
    """Signs certificates; `path` holds its own, signed by itself if it has no `issuer`."""

    def __init__(
        self,
        path: Path,
        name: str = "The tests' own authority",
        expires: timedelta = DAY,
        issuer: Authority | None = None,
    ) -> None:
        self.path = path
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        issuer = issuer or self
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self._name, issuer._name, self._key, expires)
        builder = builder.add_extension(constraints, critical=True)
        path.write_bytes(_pem(builder.sign(issuer._key, hashes.SHA256())))

    def issue(
        self,
        path: Path,
        *names: str,
        common_name: str = "localhost",
        begins: timedelta = -DAY,
        expires: timedelta = DAY,
        password: bytes | None = None,
        key_path: Path | None = None,
        client: bool = False,
        key: RSAPrivateKey | None = None,
    ) -> Path:
        """Write a server's or a client's certificate and its key to one file or to two."""
        private_key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), self._name, private_key, expires, begins)
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        certificate = _pem(builder.sign(self._key, hashes.SHA256()))
        secret = _key_pem(private_key, password)
        if key_path is None:
            path.write_bytes(secret + certificate)
        else:
            path.write_bytes(certificate)
            key_path.write_bytes(secret)
        return path


def write_certificate(path: Path) -> None:
    """Write a key and a certificate of it for ``localhost`` to one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("localhost")
    alternatives = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = _builder(name, name, key, DAY).add_extension(alternatives, critical=False)
    path.write_bytes(_key_pem(key) + _pem(builder.sign(key, hashes.SHA256())))


def tls_client(connection: socket.socket) -> ssl.SSLSocket:
    """Speak TLS as a client on `connection`, whatever certificate the server has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey | RSAPrivateKey,
    expires: timedelta,
    begins: timedelta = -DAY,
) -> CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + min(begins, expires - DAY))
        .not_valid_after(now + expires)
    )


def _pem(certificate: Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey | RSAPrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
