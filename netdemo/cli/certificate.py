"""What a certificate says, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509

if TYPE_CHECKING:
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


def days_left(certificate: x509.Certificate, now: datetime) -> int:
    """Return for how many whole days it is still valid."""
    return (certificate.not_valid_after_utc - now).days


def expiry(certificate: x509.Certificate, now: datetime) -> str:
    """Return when it expires."""
    day, left = certificate.not_valid_after_utc, days_left(certificate, now)
    return f"expires on {day:%Y-%m-%d}, in {left} days"


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
