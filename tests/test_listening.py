"""Listening on endpoints."""

from __future__ import annotations

import errno
import os
from contextlib import chdir
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactor, MemoryReactorClock, RaisingMemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from netdemo.errors import StartupError
from netdemo.listening import (
    ListeningService,
    check_endpoint,
)

ENDPOINT = "tcp:1234:interface=127.0.0.1"
PEER = IPv4Address("TCP", "127.0.0.1", 50000)
IN_USE = CannotListenError(
    "127.0.0.1", 1234, OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
)


class PortReactor(MemoryReactorClock):
    """Keeps which of the ports that it gave are `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[int] = []

    def listenTCP(self, port: int, *arguments: Any, **named: Any) -> Any:
        listening = super().listenTCP(port, *arguments, **named)
        listening.stopListening = lambda: self.open.remove(port)
        self.open.append(port)
        return listening


class ListeningServiceTests(SynchronousTestCase):
    """A service that listens while it runs."""

    def setUp(self) -> None:
        self.reactor = PortReactor()
        self.factory = Factory.forProtocol(Protocol)
        self.service = ListeningService(ENDPOINT, self.factory, self.reactor)

    def test_nothing_listens_before_it_starts(self) -> None:
        self.assertEqual([], self.reactor.open)

    def test_start_listens_on_the_endpoint_with_the_factory(self) -> None:
        self.service.startService()
        (server,) = self.reactor.tcpServers
        self.assertEqual((1234, self.factory, 50, "127.0.0.1"), server)

    def test_privileged_start_alone_listens(self) -> None:
        self.service.privilegedStartService()
        self.assertEqual([1234], self.reactor.open)

    def test_privileged_start_and_start_listen_once(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        self.assertEqual([1234], self.reactor.open)

    def test_started_service_runs(self) -> None:
        self.service.startService()
        self.assertTrue(self.service.running)

    def test_stop_closes_the_port(self) -> None:
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertEqual([], self.reactor.open)

    def test_stopped_service_does_not_run(self) -> None:
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertFalse(self.service.running)

    def test_stopped_service_listens_when_it_starts_again(self) -> None:
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.service.startService()
        self.assertEqual([1234], self.reactor.open)

    def test_service_that_never_started_can_be_stopped(self) -> None:
        self.successResultOf(self.service.stopService())


class AddressTests(SynchronousTestCase):
    """Where a service listens, with a port that the system has chosen."""

    def setUp(self) -> None:
        endpoint = "tcp:0:interface=127.0.0.1"
        self.service = ListeningService(endpoint, Factory.forProtocol(Protocol), MemoryReactor())

    def test_there_is_none_before_it_starts(self) -> None:
        self.assertIsNone(self.service.address)

    def test_it_is_that_of_the_port(self) -> None:
        self.service.startService()
        self.assertEqual(
            IPv4Address("TCP", "0.0.0.0", 0), self.service.address
        )  # as it is in memory

    def test_there_is_none_when_it_was_stopped(self) -> None:
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertIsNone(self.service.address)


class UnixSocketTests(SynchronousTestCase):
    """The path of a unix socket is that of the directory where the service is built."""

    def paths(self, endpoint: str) -> list[str]:
        """Return the paths on which a service for `endpoint` listens in another directory."""
        reactor = MemoryReactorClock()
        service = ListeningService(endpoint, Factory.forProtocol(Protocol), reactor)
        with chdir("/"):
            service.startService()
        return [server[0] for server in reactor.unixServers]

    def test_relative_path_is_made_absolute(self) -> None:
        path = os.path.abspath("a.sock")
        for endpoint in (
            "unix:a.sock",
            "unix:address=a.sock:mode=660",
            "unix:mode=660:address=a.sock",
            "haproxy:unix:a.sock",
        ):
            self.assertEqual([path], self.paths(endpoint))

    def test_absolute_path_stays(self) -> None:
        self.assertEqual(["/a.sock"], self.paths("unix:/a.sock"))

    def test_abstract_address_stays(self) -> None:
        self.assertEqual(["\0a"], self.paths("unix:\0a"))


class LateEndpointTests(SynchronousTestCase):
    """An endpoint that answers later, as none of Twisted's own does."""

    def setUp(self) -> None:
        self.service = ListeningService(ENDPOINT, Factory.forProtocol(Protocol), PortReactor())
        self.listening: Deferred[Any] = Deferred()
        server: Any = self.service._server
        server.listen = lambda _: self.listening
        self.service.startService()

    def test_refusal_is_logged(self) -> None:
        self.listening.errback(IN_USE)
        self.assertEqual(1, len(self.flushLoggedErrors(CannotListenError)))
        self.successResultOf(self.service.stopService())

    def test_stop_cancels_it(self) -> None:
        self.successResultOf(self.service.stopService())
        self.assertTrue(self.listening.called)
        self.assertEqual([], self.flushLoggedErrors())


class PortInUseTests(SynchronousTestCase):
    """An endpoint that can't be listened on."""

    def service(self, error: Exception) -> ListeningService:
        """Return a service for an endpoint that raises `error`."""
        reactor = RaisingMemoryReactor(listenException=error)
        return ListeningService(ENDPOINT, Factory.forProtocol(Protocol), reactor)

    def text(self, error: Exception) -> str:
        """Return the line for people when listening raises `error`."""
        return str(self.assertRaises(StartupError, self.service(error).startService))

    def test_start_alone_fails(self) -> None:
        self.assertRaises(StartupError, self.service(IN_USE).startService)

    def test_privileged_start_fails(self) -> None:
        self.assertRaises(StartupError, self.service(IN_USE).privilegedStartService)

    def test_start_after_a_failed_privileged_start_fails_too(self) -> None:
        service = self.service(IN_USE)
        self.assertRaises(StartupError, service.privilegedStartService)
        self.assertRaises(StartupError, service.startService)

    def test_start_listens_when_the_port_has_become_free(self) -> None:
        reactor = PortReactor()
        service = ListeningService(ENDPOINT, Factory.forProtocol(Protocol), reactor)
        refusing = self.patch(reactor, "listenTCP", RaisingMemoryReactor(IN_USE).listenTCP)
        self.assertRaises(StartupError, service.startService)
        refusing.restore()
        service.startService()
        self.assertEqual([1234], reactor.open)

    def test_service_that_failed_can_be_stopped(self) -> None:
        service = self.service(IN_USE)
        self.assertRaises(StartupError, service.startService)
        self.successResultOf(service.stopService())

    def test_nothing_is_logged(self) -> None:
        self.assertRaises(StartupError, self.service(IN_USE).startService)
        self.assertEqual([], self.flushLoggedErrors())

    def test_port_in_use_is_named_with_the_reason_in_one_line(self) -> None:
        self.assertEqual(f"cannot listen on {ENDPOINT}: Address already in use", self.text(IN_USE))

    def test_unresolvable_interface_is_named(self) -> None:
        error = CannotListenError("nowhere", 1234, "no such address")
        self.assertEqual(f"cannot listen on {ENDPOINT}: no such address", self.text(error))

    def test_lock_file_that_cannot_be_made_is_named(self) -> None:
        error = PermissionError(errno.EACCES, "Permission denied")
        self.assertEqual(
            f"cannot listen on {ENDPOINT}: [Errno 13] Permission denied", self.text(error)
        )

    def test_port_beyond_the_last_is_named(self) -> None:
        error = OverflowError("bind(): port must be 0-65535.")
        self.assertEqual(f"cannot listen on {ENDPOINT}: {error}", self.text(error))


class StartupErrorTests(SynchronousTestCase):
    """What a service raises that can't start."""

    def test_it_ends_the_process(self) -> None:
        self.assertTrue(issubclass(StartupError, SystemExit))

    def test_python_prints_its_line_at_the_end(self) -> None:
        self.assertEqual("cannot listen", StartupError("cannot listen").code)

    def test_it_is_an_exception_for_twistd_to_catch(self) -> None:
        self.assertTrue(issubclass(StartupError, Exception))


class CheckEndpointTests(SynchronousTestCase):
    """Endpoint strings."""

    def refusal(self, endpoint: str) -> str:
        """Return the error's text for `endpoint`, which must be one line that quotes it."""
        text = str(self.assertRaises(ValueError, check_endpoint, endpoint, MemoryReactorClock()))
        self.assertNotIn("\n", text)
        self.assertIn(f"bad endpoint {endpoint!r}: ", text)
        self.assertIn("expected a Twisted endpoint such as tcp:1234", text)
        return text

    def test_well_formed_endpoint_is_returned(self) -> None:
        self.assertEqual(ENDPOINT, check_endpoint(ENDPOINT, MemoryReactorClock()))

    def test_nothing_listens_for_it(self) -> None:
        reactor = MemoryReactorClock()
        check_endpoint(ENDPOINT, reactor)
        self.assertEqual([], reactor.tcpServers)

    def test_empty_text_is_refused(self) -> None:
        self.refusal("")

    def test_bare_port_is_refused(self) -> None:
        self.refusal("1234")

    def test_unknown_kind_is_refused(self) -> None:
        self.assertIn("carrier", self.refusal("carrier:pigeon"))

    def test_port_that_is_no_number_is_refused(self) -> None:
        self.refusal("tcp:echo")

    def test_missing_port_is_refused(self) -> None:
        self.refusal("tcp")

    def test_unknown_parameter_is_refused(self) -> None:
        self.refusal("tcp:1234:color=red")

    def test_missing_certificate_is_refused(self) -> None:
        self.refusal("ssl:1234:privateKey=/nonexistent/key.pem")

    def test_socket_that_nobody_passed_is_refused(self) -> None:
        self.refusal("systemd:domain=INET:index=0")

    def test_line_break_is_quoted(self) -> None:
        self.refusal("carrier\n:pigeon")
