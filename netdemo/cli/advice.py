"""What to do about a step of a diagnosis that failed."""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING, Final

import attrs
from OpenSSL import SSL
from pika.credentials import PlainCredentials
from twisted.internet.error import ConnectionRefusedError

from netdemo.errors import (
    AccessRefused,
    AMQPError,
    CertificateForAnotherHost,
    CertificateOutdated,
    CertificateUntrusted,
    ConnectionBlocked,
    NotAllowed,
    OtherProtocol,
    Refusal,
    StepTimeout,
)

if TYPE_CHECKING:
    from netdemo.amqp.broker_url import BrokerURL

OWN_PRODUCT: Final = "netdemo"
"""As which our own broker introduces itself."""

LOG: Final = "the broker's log says more"

PERMISSIONS: Final = {
    "declare": ("configure", "queue {queue!r}"),
    "publish": ("write to", "exchange 'amq.default'"),
    "consume": ("read", "queue {queue!r}"),
}
"""Which permission a step needs, and on what."""


@attrs.frozen
class Subject:
    """What is examined: a broker, by the product that it says it is, and a queue there."""

    broker: BrokerURL
    product: str = ""
    queue: str = ""

    @property
    def host(self) -> str:
        """The name or the address of the host."""
        return str(self.broker.parameters.host)

    @property
    def place(self) -> str:
        """The host and the port."""
        return str(self.broker).partition("://")[2].partition("/")[0]

    @property
    def vhost(self) -> str:
        """The virtual host."""
        return str(self.broker.parameters.virtual_host)

    @property
    def user(self) -> str:
        """Who logs in."""
        credentials = self.broker.parameters.credentials
        if isinstance(credentials, PlainCredentials):
            return str(credentials.username)
        return "the certificate's user"


def advice(step: str, error: Exception, subject: Subject) -> str:
    """Return one line about what to do when ``step`` has failed with ``error``."""
    if isinstance(error, StepTimeout):
        return _of_silence(step, subject)
    if step in PERMISSIONS or step == "round trip":
        return _of_permissions(step, error, subject)
    steps = {
        "name": _of_name,
        "tcp": _of_tcp,
        "tls": _of_tls,
        "protocol": _of_protocol,
        "login": _of_login,
        "vhost": _of_vhost,
    }
    return steps[step](error, subject)


def _of_silence(step: str, subject: Subject) -> str:
    if step == "name":
        return "the name servers do not answer: see /etc/resolv.conf"
    if step == "tcp":
        return f"is the host up, and does a firewall drop what is sent to {subject.place}?"
    if step in ("tls", "protocol"):
        return (
            f"{subject.place} takes connections and says nothing: is it the port of a broker, "
            "and no proxy in front of none?"
        )
    return f"the broker does not answer: is it overloaded, or a node of its cluster down? {LOG}"


def _of_name(error: Exception, subject: Subject) -> str:
    host = shlex.quote(subject.host)
    if getattr(error, "errno", None) == socket.EAI_AGAIN:
        return f"the name servers give no answer: see /etc/resolv.conf, and try getent hosts {host}"
    return f"is it spelt as it should be? getent hosts {host} shows what this machine finds"


def _of_tcp(error: Exception, subject: Subject) -> str:
    if isinstance(error, ConnectionRefusedError):
        return (
            f"nothing listens on {subject.place}: is the broker running, on this address and port? "
            "rabbitmq-diagnostics listeners shows RabbitMQ's"
        )
    return f"is there a way through the network from here to {subject.place}?"


def _of_tls(error: Exception, subject: Subject) -> str:
    match error.__cause__:
        case CertificateUntrusted():
            return "name the file of its authority in the URL: ?cacertfile=/PATH/ca.pem"
        case CertificateOutdated():
            return "renew it, or correct the clock of this machine or of the broker's"
        case CertificateForAnotherHost():
            return (
                "connect to a name that it is for, or say that you expect one: "
                "?server_name_indication=NAME"
            )
        case SSL.Error() if "does not speak it" in str(error):
            return f"use amqp:// for {subject.place}, or the port for TLS, as a rule 5671"
        case SSL.Error():
            return (
                "if it asks for a certificate, name one in the URL: "
                "?certfile=/PATH/client.pem&keyfile=/PATH/key.pem"
            )
    return f"is {subject.place} the port for TLS? {LOG}"


def _of_protocol(error: Exception, subject: Subject) -> str:
    if isinstance(error.__cause__, SSL.Error):  # TLS 1.3 refuses a client after the handshake
        return _of_tls(error, subject)
    text = str(error)
    if isinstance(error, OtherProtocol):
        if text.startswith("it speaks TLS"):
            return f"use amqps:// for {subject.place}, or the port without TLS, as a rule 5672"
        if text.startswith("it speaks HTTP"):
            return "AMQP has a port of its own, as a rule 5672; 15672 is RabbitMQ's for HTTP"
        if text.startswith("it speaks AMQP"):
            return "expected a broker that speaks AMQP 0-9-1 too, as RabbitMQ does"
        return f"is {subject.place} the port of a broker, as a rule 5672?"
    return (
        f"is {subject.place} a broker's port, and not its port for TLS? "
        f"A broker that stops, or has connections enough, closes too: {LOG}"
    )


def _of_login(error: Exception, subject: Subject) -> str:
    if not _is_refusal(error, AccessRefused):
        return LOG
    user = subject.user
    if user == "guest":
        own = subject.product == OWN_PRODUCT
        command = "netdemo passwd NAME" if own else "rabbitmqctl add_user NAME"
        return (
            "guest is let in from the broker's own machine alone, and a container is a machine of "
            f"its own: {command} makes another user; if this is that machine, guest has another "
            "password"
        )
    if subject.product == OWN_PRODUCT:
        return f"netdemo passwd {shlex.quote(user)} prints a line for the broker's file of users"
    return (
        f"check it with rabbitmqctl authenticate_user {shlex.quote(user)}, which asks for the "
        "password; change_password sets another"
    )


def _of_vhost(error: Exception, subject: Subject) -> str:
    text = str(error)
    if _is_refusal(error, NotAllowed):
        if "not found" in text and subject.product != OWN_PRODUCT:
            vhost = shlex.quote(subject.vhost)
            return (
                f"rabbitmqctl list_vhosts shows which there are; rabbitmqctl add_vhost {vhost} "
                "makes it"
            )
        if "not found" in text or "refused for user" in text:
            return f"{_granting(subject)} lets {subject.user} in"
    return LOG


def _of_permissions(step: str, error: Exception, subject: Subject) -> str:
    if isinstance(error, ConnectionBlocked):
        if subject.product == OWN_PRODUCT:
            return (
                "an alarm stops all who publish until messages are consumed; "
                "--max-memory of twistd amqp-broker is its limit"
            )
        return (
            "an alarm stops all who publish: free memory or disk space of the broker's machine; "
            "rabbitmq-diagnostics alarms shows it"
        )
    if step not in PERMISSIONS or not _is_refusal(error, AccessRefused):
        return LOG
    permission, on = PERMISSIONS[step]
    return (
        f"{subject.user} lacks the permission to {permission} {on.format(queue=subject.queue)}: "
        f"{_granting(subject)} grants all three, in place of those it has"
    )


def _is_refusal(error: Exception, kind: type[Refusal]) -> bool:
    return isinstance(error, AMQPError) and error.reply_code == kind.reply_code


def _granting(subject: Subject) -> str:
    """Return the command that lets the user do all in the virtual host."""
    user, vhost = shlex.quote(subject.user), shlex.quote(subject.vhost)
    if subject.product == OWN_PRODUCT:
        return f"a line of netdemo passwd {user} --vhost {vhost} in the broker's file of users"
    return f"rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'"
