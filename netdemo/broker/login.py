"""How a peer says who it is: SASL's PLAIN and EXTERNAL, and AMQPLAIN, as RabbitMQ takes them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import attrs
from cryptography.x509.oid import NameOID
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport

from netdemo.broker.properties import split_table
from netdemo.errors import CommandInvalid, LoginRefused, SyntaxRefused
from netdemo.transport import address_text

if TYPE_CHECKING:
    from twisted.internet.interfaces import ITransport

_STRING: Final = b"S"
_STRING_HEAD: Final = 5
"""Bytes of an encoded string before its text: type and length."""


@attrs.frozen
class Peer:
    """What the network knows of a peer.

    `common_name` is that of its certificate, which TLS has verified; ``None`` if it has none.
    """

    name: str = "memory"
    """Its address, for the log."""

    loopback: bool = True
    common_name: str | None = None


def peer_of(transport: ITransport) -> Peer:
    """Return what ``transport`` knows of its peer; with TLS, after the first byte has come."""
    address = transport.getPeer()
    certificate: Any = None
    if ISSLTransport.providedBy(transport):
        certificate = transport.getPeerCertificate()
    common_name = None if certificate is None else _common_name(certificate)
    if isinstance(address, IPv4Address | IPv6Address):
        is_local = _is_loopback(address.host)
    else:
        is_local = isinstance(address, UNIXAddress)
    return Peer(address_text(address), is_local, common_name)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _common_name(certificate: Any) -> str | None:
    """Return the one common name of an X509 of pyOpenSSL."""
    names = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None


def mechanisms(peer: Peer) -> str:
    """Return those that ``peer`` is offered, as ``connection.start`` lists them."""
    return "PLAIN AMQPLAIN" if peer.common_name is None else "PLAIN AMQPLAIN EXTERNAL"


@attrs.frozen
class Credentials:
    """Who a peer says it is; `password` is ``None`` when its certificate proves it."""

    name: str
    password: bytes | None = attrs.field(repr=False)


def credentials(mechanism: str, response: bytes, peer: Peer) -> Credentials:
    """Return what a ``connection.start-ok`` says.

    :raises SyntaxRefused: for a ``response`` that is none of its mechanism's; never with its text.
    :raises CommandInvalid: for a mechanism that ``peer`` is not offered.
    """
    if mechanism not in ("PLAIN", "AMQPLAIN", "EXTERNAL"):
        raise CommandInvalid(f"unknown authentication mechanism '{mechanism}'")
    if mechanism == "PLAIN":
        return _plain(response)
    if mechanism == "AMQPLAIN":
        return _amqplain(response)
    if peer.common_name is None:
        raise CommandInvalid(f"invalid authentication mechanism '{mechanism}'")
    return Credentials(peer.common_name, None)


def _plain(response: bytes) -> Credentials:
    """Read RFC 4616's message; like RabbitMQ with no identity to act as before the first NUL."""
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise SyntaxRefused("PLAIN response invalid: expected NUL, user, NUL, password")
    return Credentials(_text(parts[1]), parts[2])


def _amqplain(response: bytes) -> Credentials:
    """Read a table, which comes without its length."""
    try:
        entries = split_table(len(response).to_bytes(4, "big") + response)
    except SyntaxRefused:  # whose text may hold a piece of it
        raise SyntaxRefused("AMQPLAIN response invalid: expected a table") from None
    if not {b"LOGIN", b"PASSWORD"} <= entries.keys():
        raise SyntaxRefused("AMQPLAIN auth info is missing LOGIN or PASSWORD field")
    name, password = entries[b"LOGIN"], entries[b"PASSWORD"]
    if not (name.startswith(_STRING) and password.startswith(_STRING)):
        raise SyntaxRefused("AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field")
    return Credentials(_text(name[_STRING_HEAD:]), password[_STRING_HEAD:])


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def login_refused(mechanism: str) -> LoginRefused:
    """Return the one refusal of all logins; the broker's log alone says why."""
    return LoginRefused(
        f"Login was refused using authentication mechanism {mechanism}. "
        "For details see the broker logfile."
    )
