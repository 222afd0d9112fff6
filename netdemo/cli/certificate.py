"""What a certificate says, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MAX_NAMES: Final = 5
"""Hosts of a certificate that are shown."""


def description(certificate: x509.Certificate) -> str:
    """Return for which hosts it is, or whose, if for none, and who issued it."""
    names = _names(certificate)
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    hosts = f"for {', '.join(names[:MAX_NAMES])}{more}"
    whose = hosts if names else f"of {certificate.subject.rfc4514_string()!r}"
    if certificate.issuer == certificate.subject:
        return f"{whose}, issued by itself"
    return f"{whose}, issued by {certificate.issuer.rfc4514_string()!r}"


def validity(certificate: x509.Certificate) -> str:
    """Return from when until when it is valid."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return f"valid from {begins:%Y-%m-%d} until {ends:%Y-%m-%d %H:%M} UTC"


def days_left(chain: Sequence[x509.Certificate], now: datetime) -> int:
    """Return for how many whole days a certificate, and those of its issuers, are still valid."""
    return (_first_to_expire(chain).not_valid_after_utc - now).days


def expiry(chain: Sequence[x509.Certificate], now: datetime) -> str:
    """Return which of a certificate, and those of its issuers, expires first, and when."""
    first = _first_to_expire(chain)
    which = "it" if first == chain[0] else "the certificate of its issuer"
    left = days_left(chain, now)
    return f"{which} expires on {first.not_valid_after_utc:%Y-%m-%d}, in {left} days"


def _first_to_expire(chain: Sequence[x509.Certificate]) -> x509.Certificate:
    return min(chain, key=lambda certificate: certificate.not_valid_after_utc)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):  # none, or none that can be read
        return []
    return [
        str(name.value)
        for name in extension.value
        if isinstance(name, x509.DNSName | x509.IPAddress)
    ]
