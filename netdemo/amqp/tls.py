"""TLS in a broker's URL: whom to trust and what to show, as RabbitMQ or pika write it.

RabbitMQ's own parameters are ``cacertfile``, ``certfile``, ``keyfile``, ``verify`` and
``server_name_indication``; pika's is one, ``ssl_options``, a dictionary as Python writes it.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

import attrs
from OpenSSL import SSL
from OpenSSL.crypto import PKey
from twisted.internet.ssl import (
    AcceptableCiphers,
    Certificate,
    CertificateOptions,
    trustRootFromCertificates,
)

from netdemo.amqp import pem
from netdemo.connecting import connection_reason
from netdemo.errors import BrokerURLError
from netdemo.tls import tls_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from OpenSSL.crypto import X509
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

RABBITMQ: Final = {
    "cacertfile": "authority_file",
    "certfile": "certificate_file",
    "keyfile": "key_file",
    "server_name_indication": "host",
}
PIKA: Final = {
    "ca_certs": "authority_file",
    "cafile": "authority_file",
    "ca_path": "authority_folder",
    "capath": "authority_folder",
    "ca_data": "authority_text",
    "cadata": "authority_text",
    "certfile": "certificate_file",
    "keyfile": "key_file",
    "password": "password",
    "ciphers": "ciphers",
    "server_hostname": "host",
}
TLS_PARAMETERS: Final = frozenset({*RABBITMQ, "verify", "ssl_options"})
"""The parameters of a URL that are read here."""


@attrs.frozen
class TLSOptions:
    """Whom to trust (the system's authorities, if nobody is named), and what to show."""

    authority_file: str | None = None
    authority_folder: str | None = None
    authority_text: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    ciphers: str | None = None
    host: str | None = None
    """Whom the broker's certificate must be for, if not for the host of the URL."""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> TLSOptions:
        """Read those of TLS_PARAMETERS that a URL has.

        :raises BrokerURLError: saying what was expected.
        """
        if "ssl_options" in parameters:
            if len(parameters) > 1:
                raise BrokerURLError(
                    f"ssl_options and {min(set(parameters) - {'ssl_options'})} are given; "
                    "expected all in ssl_options, or none"
                )
            return cls(**_options_of_pika(parameters["ssl_options"]))
        if parameters.get("verify", "verify_peer") != "verify_peer":
            raise BrokerURLError("a certificate is always verified: expected verify=verify_peer")
        return cls(
            **{RABBITMQ[name]: text for name, text in parameters.items() if name != "verify"}
        )

    @property
    def has_certificate(self) -> bool:
        """Whether the broker is shown a certificate."""
        return self.certificate_file is not None

    def connections(self, host: str) -> IOpenSSLClientConnectionCreator:
        """Read the files; return what makes TLS connections to ``host``.

        :raises BrokerURLError: naming the file, and what was expected.
        """
        host = self.host or host
        extra: dict[str, Any] = {}
        if self.certificate_file is not None:
            extra = self._identity(self.certificate_file, self.key_file or self.certificate_file)
        elif self.key_file is not None:
            raise BrokerURLError("a keyfile is given and no certfile; expected both, or none")
        if self.ciphers is not None:
            extra["acceptableCiphers"] = AcceptableCiphers.fromOpenSSLCipherString(self.ciphers)
        self._check(extra)
        trusted = self._authorities()
        try:
            return tls_to(
                host,
                trustRoot=trustRootFromCertificates(map(Certificate, trusted)) if trusted else None,
                extraCertificateOptions=extra,
            )
        except ValueError:
            raise BrokerURLError(f"{host!r} is no host that a certificate can be for") from None

    def _check(self, extra: dict[str, Any]) -> None:
        """Have OpenSSL take what Twisted would give it at the first connection."""
        try:
            CertificateOptions(**extra).getContext()
        except ValueError:
            raise BrokerURLError("ssl_options: expected ciphers that OpenSSL knows") from None
        except SSL.Error as error:  # a key that is too short, for example
            reason = connection_reason(error)
            raise BrokerURLError(f"{self.certificate_file!r}: not accepted: {reason}") from None

    def _authorities(self) -> list[X509]:
        found: list[X509] = []
        if self.authority_file is not None:
            found += pem.certificates(self.authority_file)
        if self.authority_folder is not None:
            found += pem.certificates_in(self.authority_folder)
        if self.authority_text is not None:
            found += pem.certificates_of(self.authority_text.encode(), "ca_data")
        return found

    def _identity(self, certificate_file: str, key_file: str) -> dict[str, Any]:
        """Return the certificate, those that lead from it to an authority, and its key."""
        certificate, *chain = pem.certificates(certificate_file)
        key = pem.private_key(key_file, self.password)
        if key.public_key() != certificate.to_cryptography().public_key():
            raise BrokerURLError(
                f"{key_file!r}: expected the key of the first certificate in {certificate_file!r}"
            )
        return {
            "certificate": certificate,
            "extraCertChain": chain,
            "privateKey": PKey.from_cryptography_key(key),
        }


def _options_of_pika(text: str) -> dict[str, str]:
    try:
        given = ast.literal_eval(text)
    except Exception:  # of many kinds, and the text may hold a password
        given = None
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given):
        raise BrokerURLError("ssl_options: expected a dictionary as Python writes it")
    options: dict[str, str] = {}
    for name, value in given.items():
        if name not in PIKA:
            raise BrokerURLError(
                f"ssl_options: {name!r} is not supported, and a certificate is always verified; "
                f"expected some of {', '.join(sorted(PIKA))}"
            )
        if value is None:
            continue
        if not isinstance(value, str):
            raise BrokerURLError(f"ssl_options: expected a text as {name!r}")
        if PIKA[name] in options:
            raise BrokerURLError(f"ssl_options: {name!r} is given under two names")
        options[PIKA[name]] = value
    return options
