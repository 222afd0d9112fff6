"""The URL of a broker."""

from __future__ import annotations

import os
from traceback import format_exception

from hypothesis import given, settings
from hypothesis import strategies as st
from pika.credentials import PlainCredentials
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.broker_url import DEFAULT_BROKER, BrokerURL, default_broker_url
from netdemo.errors import BrokerURLError
from tests.resolving import Resolver, ResolvingReactor


def login(url: str) -> tuple[str | None, str | None]:
    """Return the user and the password of `url`."""
    credentials = BrokerURL.parse(url).parameters.credentials
    assert isinstance(credentials, PlainCredentials)
    return credentials.username, credentials.password


class ParseTests(SynchronousTestCase):
    """What the parts of a URL mean, and what is taken where one is missing."""

    def test_host_is_read(self) -> None:
        self.assertEqual("mq.example", BrokerURL.parse("amqp://mq.example").parameters.host)

    def test_port_is_read(self) -> None:
        self.assertEqual(5673, BrokerURL.parse("amqp://mq.example:5673").parameters.port)

    def test_default_port_is_5672(self) -> None:
        self.assertEqual(5672, BrokerURL.parse("amqp://mq.example").parameters.port)

    def test_default_port_with_tls_is_5671(self) -> None:
        self.assertEqual(5671, BrokerURL.parse("amqps://mq.example").parameters.port)

    def test_amqp_is_without_tls(self) -> None:
        self.assertFalse(BrokerURL.parse("amqp://mq.example").tls)

    def test_amqps_is_with_tls(self) -> None:
        self.assertTrue(BrokerURL.parse("amqps://mq.example").tls)

    def test_scheme_in_capitals_is_the_same(self) -> None:
        self.assertTrue(BrokerURL.parse("AMQPS://mq.example").tls)

    def test_user_and_password_are_read(self) -> None:
        self.assertEqual(("ann", "pass"), login("amqp://ann:pass@mq.example"))

    def test_escapes_in_the_password_are_undone(self) -> None:
        self.assertEqual(("ann", "a/b@c"), login("amqp://ann:a%2Fb%40c@mq.example"))

    def test_default_login_is_guest(self) -> None:
        self.assertEqual(("guest", "guest"), login("amqp://mq.example"))

    def test_default_virtual_host_is_a_slash(self) -> None:
        self.assertEqual("/", BrokerURL.parse("amqp://mq.example").parameters.virtual_host)

    def test_bare_slash_is_the_default_virtual_host(self) -> None:
        self.assertEqual("/", BrokerURL.parse("amqp://mq.example/").parameters.virtual_host)

    def test_virtual_host_is_read(self) -> None:
        self.assertEqual("a/b", BrokerURL.parse("amqp://mq.example/a%2Fb").parameters.virtual_host)

    def test_heartbeat_is_read(self) -> None:
        self.assertEqual(
            30, BrokerURL.parse("amqp://mq.example/?heartbeat=30").parameters.heartbeat
        )

    def test_parameters_that_have_a_meaning_are_read(self) -> None:
        url = BrokerURL.parse(
            "amqp://mq.example/a%2Fb?blocked_connection_timeout=1.5&channel_max=7&frame_max=8192"
            "&client_properties={'connection_name': 'a%26b'}&locale=de_DE&socket_timeout=3"
        )
        read = url.parameters
        self.assertEqual(
            (1.5, 7, 8192, {"connection_name": "a&b"}, "de_DE", 3, "a/b"),
            (
                read.blocked_connection_timeout,
                read.channel_max,
                read.frame_max,
                read.client_properties,
                read.locale,
                read.socket_timeout,
                read.virtual_host,
            ),
        )

    def test_attempts_and_delays_of_pika_are_taken_and_have_no_effect(self) -> None:
        BrokerURL.parse("amqp://mq.example/?connection_attempts=3&retry_delay=5")

    def test_time_for_the_whole_of_connecting_is_read(self) -> None:
        self.assertEqual(7, BrokerURL.parse("amqp://mq.example/?stack_timeout=7").stack_timeout)

    def test_time_for_the_whole_of_connecting_is_not_that_of_pika_unless_given(self) -> None:
        self.assertIsNone(BrokerURL.parse("amqp://mq.example/").stack_timeout)


class TextTests(SynchronousTestCase):
    """The text form, which goes into logs."""

    def test_host_port_and_virtual_host_are_named(self) -> None:
        url = BrokerURL.parse("amqp://ann:pass@mq.example/orders?heartbeat=30")
        self.assertEqual("amqp://mq.example:5672/orders", str(url))

    def test_tls_is_named(self) -> None:
        self.assertEqual("amqps://mq.example:5671/", str(BrokerURL.parse("amqps://mq.example")))

    def test_ipv6_host_is_in_brackets(self) -> None:
        self.assertEqual("amqp://[::1]:5672/", str(BrokerURL.parse("amqp://[::1]/")))

    @settings(deadline=None)
    @given(st.text(st.characters(codec="ascii", categories=["L"]), min_size=12, max_size=20))
    def test_neither_text_nor_repr_holds_user_or_password(self, secret: str) -> None:
        url = BrokerURL.parse(f"amqp://{secret}:{secret}@127.0.0.1/")
        self.assertNotIn(secret, f"{url} {url!r} {[url]}")


class ErrorTests(SynchronousTestCase):
    """What can't be understood is one line, without any part of user or password."""

    def refusal(self, url: str) -> str:
        """Return the error's text for `url`, which must hold nothing of ann or s3cr3t."""
        error = self.assertRaises(BrokerURLError, BrokerURL.parse, url)
        trace = "".join(format_exception(error))
        for part in ("ann:", "ann@", "s3", "cr3t"):
            self.assertNotIn(part, trace)
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_slash_in_the_password_is_refused(self) -> None:
        text = self.refusal("amqp://ann:s3/cr3t@mq.example")
        self.assertIn("bad broker URL 'amqp://***@mq.example': expected amqp://", text)

    def test_at_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:s3@cr3t@mq.example:x")

    def test_question_mark_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:s3?cr3t@mq.example")

    def test_hash_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:s3#cr3t@mq.example")

    def test_bracket_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:s3[cr3t@mq.example")

    def test_slash_after_digits_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:12/cr3t@mq.example")

    def test_question_mark_after_digits_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:12?cr3t=x@mq.example")

    def test_question_mark_and_no_equals_after_digits_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:12?cr3t@mq.example")

    def test_hash_after_digits_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:12#cr3t@mq.example")

    def test_equals_after_a_question_mark_in_the_password_is_refused(self) -> None:
        self.refusal("amqp://ann:12?heartbeat=cr3t@mq.example")

    def test_port_that_is_no_number_is_refused(self) -> None:
        self.assertIn("***@mq.example:port/", self.refusal("amqp://ann:s3cr3t@mq.example:port/"))

    def test_port_beyond_65535_is_refused(self) -> None:
        self.refusal("amqp://ann:s3cr3t@mq.example:65536/")

    def test_host_that_is_no_host_name_is_refused(self) -> None:
        for host in ("foo..bar", "my_rabbit", "h ost", "a" * 64 + ".com"):
            for scheme in ("amqp", "amqps"):
                text = self.refusal(f"{scheme}://ann:s3cr3t@{host}/")
                self.assertIn(f"***@{host}/': its host is not a host name", text)

    def test_unknown_scheme_is_refused(self) -> None:
        text = self.refusal("http://ann:s3cr3t@mq.example/")
        self.assertIn("bad broker URL 'http://***@mq.example/': expected amqp://", text)

    def test_no_scheme_is_refused(self) -> None:
        self.assertIn("'***@mq.example'", self.refusal("ann:s3cr3t@mq.example"))

    def test_scheme_without_slashes_is_refused(self) -> None:
        self.refusal("amqp:ann:s3cr3t@mq.example")

    def test_scheme_alone_is_refused(self) -> None:
        self.assertIn("bad broker URL 'amqp://': expected amqp://", self.refusal("amqp://"))

    def test_empty_text_is_refused(self) -> None:
        self.assertIn("bad broker URL '': expected amqp://", self.refusal(""))

    def test_user_without_password_is_refused(self) -> None:
        self.assertIn("'amqp://***@mq.example'", self.refusal("amqp://ann@mq.example"))

    def test_login_without_host_is_refused(self) -> None:
        self.refusal("amqp://ann:s3cr3t")

    def test_unknown_parameter_is_named(self) -> None:
        text = self.refusal("amqp://ann:s3cr3t@mq.example/?heartbeat=5&retries=5")
        self.assertIn("parameter 'retries' is not supported; expected one of ", text)

    def test_parameter_with_a_malformed_value_is_named(self) -> None:
        for parameter in (
            "heartbeat=often",
            "socket_timeout=0",
            "stack_timeout=nan",
            "blocked_connection_timeout=-1",
            "retry_delay=soon",
            "connection_attempts=0",
            "client_properties=s3cr3t",
        ):
            text = self.refusal(f"amqp://ann:s3cr3t@mq.example/?{parameter}")
            self.assertIn(f"the value of the parameter {parameter.partition('=')[0]!r} is", text)

    def test_parameter_without_a_value_or_with_two_is_named(self) -> None:
        for query in ("heartbeat=", "heartbeat=5&heartbeat=6"):
            text = self.refusal(f"amqp://ann:s3cr3t@mq.example/?{query}")
            self.assertIn("expected one value of the parameter 'heartbeat'", text)

    def test_virtual_host_with_a_bare_slash_is_refused(self) -> None:
        self.refusal("amqp://ann:s3cr3t@mq.example/a/b")


class EndpointTests(SynchronousTestCase):
    """The endpoint of the broker."""

    def setUp(self) -> None:
        self.resolver = Resolver()

    def connecting(self, url: str) -> ResolvingReactor:
        """Return a reactor that has been asked to connect to `url`."""
        reactor = ResolvingReactor()
        reactor.installNameResolver(self.resolver)
        BrokerURL.parse(url).endpoint(reactor).connect(Factory.forProtocol(Protocol))
        return reactor

    def first_bytes(self, reactor: ResolvingReactor) -> bytes:
        """Return what is sent first on the connection that `reactor` was asked for."""
        transport = StringTransport()
        protocol = reactor.tcpClients[0][2].buildProtocol(IPv4Address("TCP", "127.0.0.1", 5672))
        assert protocol is not None
        protocol.makeConnection(transport)
        return bytes(transport.value())

    def test_host_and_port_are_those_of_the_url(self) -> None:
        (client,) = self.connecting("amqp://mq.example:5673").tcpClients
        self.assertEqual((["mq.example"], 5673), (self.resolver.names, client[1]))

    def test_timeout_is_that_of_the_url(self) -> None:
        (client,) = self.connecting("amqp://mq.example/?socket_timeout=7").tcpClients
        self.assertEqual(7, client[3])

    def test_amqp_is_plain_tcp(self) -> None:
        self.assertEqual(b"", self.first_bytes(self.connecting("amqp://mq.example")))

    def test_amqps_begins_with_a_tls_handshake_for_the_host(self) -> None:
        sent = self.first_bytes(self.connecting("amqps://mq.example"))
        self.assertEqual((b"\x16\x03", True), (sent[:2], b"mq.example" in sent))


class DefaultBrokerTests(SynchronousTestCase):
    """The broker where none is named."""

    def set_environment(self, **variables: str) -> None:
        """Let the environment hold `variables` alone during this test."""
        self.patch(os, "environ", variables)

    def test_environment_names_it(self) -> None:
        self.set_environment(NETDEMO_BROKER="amqp://mq.example")
        self.assertEqual("amqp://mq.example", default_broker_url())

    def test_nothing_in_the_environment_is_a_broker_on_this_machine(self) -> None:
        self.set_environment()
        self.assertEqual("amqp://guest:guest@127.0.0.1:5672/", default_broker_url())

    def test_empty_variable_is_as_none(self) -> None:
        self.set_environment(NETDEMO_BROKER="")
        self.assertEqual(DEFAULT_BROKER, default_broker_url())

    def test_default_can_be_parsed(self) -> None:
        self.assertEqual("amqp://127.0.0.1:5672/", str(BrokerURL.parse(DEFAULT_BROKER)))
