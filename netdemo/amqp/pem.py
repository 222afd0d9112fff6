"""Certificates and keys in files (PEM, RFC 7468); in errors the file and what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL.crypto import X509

from netdemo.errors import BrokerURLError

if TYPE_CHECKING:
    from typing import TypeAlias

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of a file; all authorities that systems trust take less than 1 MB."""

BEGIN: Final = b"-----BEGIN CERTIFICATE-----"

PrivateKey: TypeAlias = (
    DSAPrivateKey | EllipticCurvePrivateKey | Ed448PrivateKey | Ed25519PrivateKey | RSAPrivateKey
)


def certificates(path: str) -> list[X509]:
    """Return what is in a file: one certificate or more; a key there may be, too.

    :raises BrokerURLError: as all functions here.
    """
    return certificates_of(_read(path), repr(path))


def certificates_in(folder: str) -> list[X509]:
    """Return the certificates of all files in a folder that have some."""
    try:
        paths = sorted(str(path) for path in Path(folder).iterdir() if path.is_file())
    except (OSError, ValueError) as error:
        raise BrokerURLError(f"{folder!r}: {_reason(error)}") from None
    found = [
        certificate
        for path in paths
        if BEGIN in (data := _read(path))
        for certificate in certificates_of(data, repr(path))
    ]
    if not found:
        raise BrokerURLError(f"{folder!r}: expected files of certificates in PEM")
    return found


def certificates_of(data: bytes, name: str) -> list[X509]:
    """Return what is in ``data``; ``name`` is for errors."""
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise BrokerURLError(f"{name}: expected certificates in PEM") from None
    return [X509.from_cryptography(each) for each in found]


def private_key(path: str, password: str | None) -> PrivateKey:
    """Return the key in a file, where certificates may be, too."""
    data = _read(path)
    try:
        key = load_pem_private_key(data, None if password is None else password.encode())
    except TypeError:  # it has a password and none is given, or the reverse
        expected = "a password for it" if password is None else "a key with a password"
        raise BrokerURLError(f"{path!r}: expected {expected}") from None
    except Exception:  # of many kinds
        expected = "a key in PEM" if password is None else "a key in PEM, of this password"
        raise BrokerURLError(f"{path!r}: expected {expected}") from None
    if not isinstance(key, PrivateKey):
        raise BrokerURLError(f"{path!r}: expected a key for signatures") from None
    return key


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise BrokerURLError(f"{path!r}: {_reason(error)}") from None
    if len(data) > MAX_FILE:
        raise BrokerURLError(f"{path!r}: expected at most {MAX_FILE} bytes")
    return data


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "not the name of a file"  # as with a zero byte
