"""Addresses of servers in text, and why they can't be reached."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
    TimeoutError,
    getConnectError,
)
from twisted.internet.interfaces import IHostnameResolver, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from netdemo.connecting import (
    ENDPOINT_TYPES,
    EXPECTED,
    MAX_UNIX_PATH,
    client_endpoint,
    connect,
    connection_reason,
    split_host_and_port,
)
from netdemo.errors import AddressError, CertificateRefused
from tests.folders import temporary_folder
from tests.resolving import ResolvingReactor

PORTS = st.integers(1, 65535)
HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,20}){0,3}", fullmatch=True)

PARTS = st.sampled_from([*sorted(ENDPOINT_TYPES), "h", "[::1]", "80", "-1", "", "port=1", "host="])
ALMOST = st.lists(PARTS, max_size=5).map(":".join)
"""What nearly is an address, or is one."""


class SplitTests(SynchronousTestCase):
    """The short forms of an address."""

    @given(PORTS)
    def test_port_alone_is_one_of_the_loopback(self, port: int) -> None:
        self.assertEqual(split_host_and_port(str(port)), ("127.0.0.1", port))

    @given(HOSTS, PORTS)
    def test_host_and_port(self, host: str, port: int) -> None:
        assume(host not in ENDPOINT_TYPES)
        self.assertEqual(split_host_and_port(f"{host}:{port}"), (host, port))

    @given(st.ip_addresses(v=4).map(str), PORTS)
    def test_ipv4_and_port(self, host: str, port: int) -> None:
        self.assertEqual(split_host_and_port(f"{host}:{port}"), (host, port))

    @given(st.ip_addresses(v=6).map(str), PORTS)
    def test_ipv6_in_brackets_and_port(self, host: str, port: int) -> None:
        self.assertEqual(split_host_and_port(f"[{host}]:{port}"), (host, port))

    @given(st.ip_addresses(v=6).map(str), PORTS)
    def test_ipv6_without_brackets_is_none(self, host: str, port: int) -> None:
        self.assertIsNone(split_host_and_port(f"{host}:{port}"))

    @given(HOSTS, st.integers(65536) | st.just(0))
    def test_port_that_does_not_exist_is_none(self, host: str, port: int) -> None:
        self.assertIsNone(split_host_and_port(f"{host}:{port}"))

    def test_type_of_an_endpoint_is_no_host(self) -> None:
        for name in ENDPOINT_TYPES:
            self.assertIsNone(split_host_and_port(f"{name}:9000"))

    @given(st.text())
    def test_any_text_is_read_or_none(self, text: str) -> None:
        place = split_host_and_port(text)
        if place is not None:
            self.assertTrue(1 <= place[1] <= 65535)
            self.assertTrue(text.endswith(f"{place[1]}"))


class ClientEndpointTests(SynchronousTestCase):
    """Endpoints of addresses; where they lead is asked of a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = ResolvingReactor()

    def endpoint(self, address: str) -> Any:
        """Return the endpoint of `address`."""
        endpoint = client_endpoint(address, self.reactor)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        return endpoint

    def destination(self, address: str) -> tuple[Any, ...]:
        """Return the host and the port that are connected to."""
        endpoint = self.endpoint(address)
        self.assertEqual(self.reactor.tcpClients, [])
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        self.addCleanup(self.failureResultOf, connecting, ConnectingCancelledError)
        self.addCleanup(connecting.cancel)
        return tuple(self.reactor.tcpClients[0][:2])

    def refusal(self, address: str) -> str:
        """Return what is said of a bad address, in one line that names it."""
        error = self.assertRaises(AddressError, client_endpoint, address, self.reactor)
        text = str(error)
        self.assertTrue(text.startswith(f"bad address {address!r}: "), text)
        self.assertNotIn("\n", text)
        self.assertEqual(self.reactor.tcpClients, [])
        return text

    def test_port(self) -> None:
        self.assertEqual(self.destination("9000"), ("127.0.0.1", 9000))

    def test_ipv4(self) -> None:
        self.assertIsInstance(self.endpoint("192.0.2.1:9000"), TCP4ClientEndpoint)
        self.assertEqual(self.destination("192.0.2.1:9000"), ("192.0.2.1", 9000))

    def test_ipv6(self) -> None:
        self.assertIsInstance(self.endpoint("[2001:db8::1]:9000"), TCP6ClientEndpoint)
        self.assertEqual(self.destination("[2001:db8::1]:9000"), ("2001:db8::1", 9000))

    def test_ipv6_with_a_zone(self) -> None:
        self.assertEqual(self.destination("[fe80::1%lo]:9000"), ("fe80::1%lo", 9000))

    def test_host_name_is_looked_up_when_it_is_connected_to(self) -> None:
        self.assertIsInstance(self.endpoint("poems.example:9000"), HostnameEndpoint)
        self.assertIsInstance(self.endpoint("gedichte-für-alle.example:9000"), HostnameEndpoint)

    def test_endpoint_string(self) -> None:
        self.assertEqual(self.destination("tcp:host=192.0.2.1:port=9000"), ("192.0.2.1", 9000))

    def test_unix_socket(self) -> None:
        connecting = self.endpoint("unix:/run/poetry.sock").connect(Factory.forProtocol(Protocol))
        self.addCleanup(self.failureResultOf, connecting, ConnectingCancelledError)
        self.addCleanup(connecting.cancel)
        self.assertEqual(self.reactor.unixClients[0][0], "/run/poetry.sock")

    def test_tls_endpoint(self) -> None:
        self.endpoint("tls:poems.example:443")

    def test_what_is_no_address_is_told_what_was_expected(self) -> None:
        for address in (
            "",
            "0",
            "65536",
            "::1:9000",
            "[::1:9000",
            "h:80:",
            " 80",
            "80\n",
            "h",
            ":",
        ):
            self.assertIn(EXPECTED, self.refusal(address))

    def test_endpoint_that_is_none_or_lacks_something_is_told_what_was_expected(self) -> None:
        for address in (
            "tcp:9000",
            "gopher:h:70",
            "tcp:h:80:timeout=x",
            "tcp:h:80:color=red",
            "tls:123:443",  # which no certificate can be for
        ):
            self.assertIn(EXPECTED, self.refusal(address))

    def test_what_is_no_host_name_is_said_so(self) -> None:
        for host in ("a..b", "-", "*", "x" * 64, "\udcff"):
            self.assertIn("is not a host name", self.refusal(f"{host}:9000"))

    def test_port_that_does_not_exist_is_refused_in_an_endpoint_too(self) -> None:
        for address in ("tcp:h:65536", "tcp:h:0", "tcp:h:-1", "tls:h:65536"):
            self.assertIn("expected a port from 1 to 65535", self.refusal(address))

    def test_path_of_a_socket_that_the_system_does_not_take_is_refused(self) -> None:
        self.endpoint(f"unix:{'x' * MAX_UNIX_PATH}")
        self.assertTrue(self.refusal("unix:").endswith(": expected a path"))
        for path in ("x" * (MAX_UNIX_PATH + 1), "ö" * MAX_UNIX_PATH):
            self.assertIn(f"at most {MAX_UNIX_PATH} bytes", self.refusal(f"unix:{path}"))

    def test_longest_path_is_what_the_system_takes(self) -> None:
        path = os.fsencode(temporary_folder(self)) + b"/"
        path += b"x" * (MAX_UNIX_PATH - len(path))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.bind(path)
        with socket.socket(socket.AF_UNIX) as peer:
            self.assertRaises(OSError, peer.bind, path + b"x")

    def test_missing_certificate_is_named(self) -> None:
        for address in (
            "tls:h:443:certificate=/nowhere",
            "ssl:h:443:certKey=/nowhere",
            "ssl:h:443:caCertsDir=/nowhere",
            "tls:h:443:trustRoots=/nowhere",
        ):
            text = self.refusal(address)
            self.assertTrue(text.endswith(": /nowhere: No such file or directory"), text)

    @given(st.text() | ALMOST)
    def test_any_text_is_an_endpoint_or_an_error_that_names_it(self, text: str) -> None:
        try:
            client_endpoint(text, self.reactor)
        except AddressError as error:
            self.assertIn(repr(text), str(error))


@implementer(IHostnameResolver)
class SilentResolver:
    """A resolver that never answers."""

    def resolveHostName(  # type: ignore[override]
        self, receiver: Any, *_: Any, **__: Any
    ) -> Any:
        return receiver


class ConnectTests(SynchronousTestCase):
    """Connecting a protocol."""

    def setUp(self) -> None:
        self.reactor = ResolvingReactor()
        self.protocol = Protocol()

    def connect(self, address: str) -> Deferred[None]:
        """Begin to connect the protocol."""
        endpoint = client_endpoint(address, self.reactor)
        return Deferred.fromCoroutine(connect(endpoint, self.protocol))

    def test_it_is_done_when_the_protocol_is_connected(self) -> None:
        connecting = self.connect("9000")
        self.assertNoResult(connecting)
        protocol: Any = self.reactor.tcpClients[0][2].buildProtocol(None)
        protocol.makeConnection(StringTransport())
        self.assertTrue(self.protocol.connected)
        self.successResultOf(connecting)

    def test_nothing_is_logged_of_each_attempt(self) -> None:
        self.connect("9000")
        factory: Any = self.reactor.tcpClients[0][2]
        with capturedLogs() as logged:
            factory.doStart()
            factory.doStop()
        self.assertEqual(logged, [])

    def test_endpoint_that_fails_is_told(self) -> None:
        connecting = self.connect("9000")
        factory: Any = self.reactor.tcpClients[0][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_cancelled_it_ends_the_attempt(self) -> None:
        connecting = self.connect("9000")
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)

    def test_cancelled_while_a_name_is_looked_up_it_says_so(self) -> None:
        self.reactor.installNameResolver(SilentResolver())
        connecting = self.connect("poems.example:9000")
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)


class ReasonTests(SynchronousTestCase):
    """Why a connection was not made, or how it ended."""

    def test_every_reason_is_a_few_words(self) -> None:
        for error, words in (
            (ConnectionRefusedError(osError=errno.ECONNREFUSED), "Connection refused"),
            (ConnectError(osError=errno.ENOENT), "No such file or directory"),
            (ConnectError(string="no way"), "An error occurred while connecting: no way"),
            (TCPTimedOutError(osError=errno.ETIMEDOUT), "timed out"),
            (TimeoutError(), "timed out"),
            (defer.TimeoutError(5, "Deferred"), "timed out"),
            (DNSLookupError("no results"), "host name not found"),
            (getConnectError(socket.gaierror(-2, "Name unknown")), "Name unknown"),
            (CertificateRefused("the certificate has expired"), "the certificate has expired"),
            (socket.gaierror(socket.EAI_NONAME, "Name unknown"), "Name unknown"),
            (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
            (SSL.Error([("SSL routines", "", "bad certificate")]), "TLS: bad certificate"),
            (
                SSL.Error([("SSL routines", "", "tlsv13 alert certificate required")]),
                "TLS: the other side says: certificate required",
            ),
            (
                SSL.Error([("SSL routines", "", "wrong version number")]),
                "TLS: the other side does not speak it",
            ),
            (SSL.Error([]), "TLS: no reason given"),
            (SSL.Error(), "TLS: no reason given"),
            (SSL.Error("-1"), "-1"),
            (ConnectionDone(), "closed by the other side"),
            (ConnectionLost(), "lost before its end"),
            (ConnectionAborted(), "aborted"),
            (ValueError("one thing.\nanother"), "one thing"),
            (ValueError(), "ValueError"),
        ):
            self.assertEqual(connection_reason(error), words)
