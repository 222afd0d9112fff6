"""`netdemo.cli.advice`: commands that can be run as they stand, for the broker that there is."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.broker_url import BrokerURL
from netdemo.cli.advice import Subject, advice
from netdemo.errors import (
    CertificateForAnotherHost,
    CertificateOutdated,
    CertificateRefused,
    CertificateUntrusted,
    ChannelClosed,
    ConnectionBlocked,
    ConnectionClosed,
)

REFUSED = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."


def subject(url: str = "amqp://ann:pw@mq.example/", product: str = "RabbitMQ") -> Subject:
    """Return what is examined."""
    return Subject(BrokerURL.parse(url), product, "netdemo-doctor-1")


def caused_by(cause: Exception, text: str = "x") -> ConnectionClosed:
    """Return how a session tells that TLS has ended it."""
    error = ConnectionClosed(text)
    error.__cause__ = cause
    return error


class CommandTests(SynchronousTestCase):
    """Commands of the broker's own."""

    def test_names_are_quoted_for_the_shell(self) -> None:
        about = subject("amqp://a%27%20%24x:pw@mq.example/v%20w")
        error = ConnectionClosed("NOT_ALLOWED - access to vhost 'v w' refused for user 'x'", 530)
        self.assertIn(
            """rabbitmqctl set_permissions -p 'v w' 'a'"'"' $x' '.*' '.*' '.*' lets""",
            advice("vhost", error, about),
        )

    def test_guest_is_told_to_be_another_user(self) -> None:
        error = ConnectionClosed(REFUSED, 403)
        for product, command in (("RabbitMQ", "rabbitmqctl add_user"), ("netdemo", "netdemo pas")):
            text = advice("login", error, subject("amqp://mq.example", product))
            self.assertIn("guest is let in from the broker's own machine alone", text)
            self.assertIn(f"{command}", text)

    def test_refusal_of_another_kind_is_not_taken_for_a_permission(self) -> None:
        error = ChannelClosed("PRECONDITION_FAILED - queue limit is reached", 406)
        self.assertNotIn("permission", advice("declare", error, subject()))
        error = ChannelClosed("NOT_ALLOWED - connection limit is reached", 530)
        self.assertNotIn("set_permissions", advice("vhost", error, subject()))

    def test_alarm_is_told_in_the_brokers_own_terms(self) -> None:
        error = ConnectionBlocked("low on memory")
        for product, expected in (
            ("RabbitMQ", "rabbitmq-diagnostics alarms"),
            ("netdemo", "--max-memory"),
        ):
            self.assertIn(expected, advice("round trip", error, subject(product=product)))


class TLSTests(SynchronousTestCase):
    """What is wrong with a certificate, or with TLS."""

    def test_each_kind_has_its_own_advice(self) -> None:
        texts = [
            advice("tls", caused_by(cause), subject())
            for cause in (
                CertificateUntrusted("x"),
                CertificateOutdated("x"),
                CertificateForAnotherHost("x"),
                CertificateRefused("x"),
                SSL.Error([("", "", "tlsv13 alert certificate required")]),
            )
        ]
        expected = (
            "cacertfile=",
            "renew it",
            "server_name_indication=",
            "port for TLS",
            "keyfile=",
        )
        for text, words in zip(texts, expected, strict=True):
            self.assertIn(words, text)

    def test_refusal_of_our_certificate_after_the_handshake_is_one_of_tls(self) -> None:
        error = caused_by(SSL.Error([("", "", "tlsv13 alert certificate required")]))
        self.assertIn("certfile=", advice("protocol", error, subject()))

    def test_port_without_tls_is_told(self) -> None:
        error = caused_by(SSL.Error([]), "TLS: the other side does not speak it")
        text = advice("tls", error, subject("amqps://mq.example"))
        self.assertIn("use amqp:// for mq.example:5671", text)
