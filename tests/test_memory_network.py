"""Time and connections in memory (`netdemo.testing.memory_network`)."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from netdemo.amqp import BrokerURL
from netdemo.testing import MemoryNetwork, NeverIdle, memory_network
from tests.test_memory_transport import Notes
from tests.tidy import TidyTestCase


class Back(Protocol):
    """Sends back what it gets."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Nobody(Factory):
    """Builds no protocol."""

    noisy = False

    def buildProtocol(self, addr: object) -> None:  # noqa: ARG002
        return None


class MemoryNetworkTests(TidyTestCase):
    """A network with one host."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.clock = self.network.clock
        self.port = self.network.listen("host")
        self.port.factory = Factory.forProtocol(Back)
        self.endpoint = self.network.endpoint(BrokerURL.parse("amqp://host/"), None)

    def test_endpoint_is_one(self) -> None:
        verifyObject(IStreamClientEndpoint, self.endpoint)

    def test_hosts_have_names_of_their_own(self) -> None:
        with self.assertRaises(ValueError):
            self.network.listen("host")

    def test_connecting_takes_until_time_passes(self) -> None:
        connecting = connectProtocol(self.endpoint, Notes())
        self.assertNoResult(connecting)
        self.network.advance()
        client = self.successResultOf(connecting)
        client.transport.write(b"one")
        self.network.advance()
        self.assertEqual(client.pieces, [b"one"])

    def test_host_without_a_factory_refuses(self) -> None:
        self.port.factory = None
        connecting = connectProtocol(self.endpoint, Notes())
        self.network.advance()
        self.failureResultOf(connecting, ConnectionRefusedError)

    def test_unknown_host_is_not_found(self) -> None:
        endpoint = self.network.endpoint(BrokerURL.parse("amqp://nowhere/"), None)
        self.failureResultOf(connectProtocol(endpoint, Notes()), DNSLookupError)

    def test_factory_that_builds_nothing_is_no_connection(self) -> None:
        self.port.factory = Nobody()
        connecting = connectProtocol(self.endpoint, Notes())
        self.network.advance()
        self.failureResultOf(connecting, ConnectionDone)

    def test_cancelled_attempt_connects_nobody(self) -> None:
        client = Notes()
        connecting = connectProtocol(self.endpoint, client)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.network.advance()
        self.assertIsNone(client.transport)

    def test_nobody_is_connected_while_the_host_is_stalled(self) -> None:
        self.port.stalled = True
        connecting = connectProtocol(self.endpoint, Notes())
        self.network.advance(1)
        self.assertNoResult(connecting)
        self.port.stalled = False
        self.network.advance()
        self.successResultOf(connecting)

    def test_calls_come_at_their_times_in_between(self) -> None:
        times: list[float] = []

        def call() -> None:
            times.append(self.clock.seconds())
            if len(times) < 3:
                self.clock.callLater(1, call)

        self.clock.callLater(1, call)
        self.network.advance(10)
        self.assertEqual(times, [1, 2, 3])
        self.assertEqual(self.clock.seconds(), 10)

    def test_calls_beyond_the_time_wait(self) -> None:
        self.clock.callLater(2, self.fail, "called")
        self.network.advance(1.5)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_time_is_not_advanced_by_what_happens_in_it(self) -> None:
        for delay in (0, 1):
            self.clock.callLater(delay, self.network.advance)
            with self.assertRaises(RuntimeError):
                self.network.advance(1)
        self.network.advance()

    def test_what_never_ends_is_told(self) -> None:
        self.patch(memory_network, "MAX_ROUNDS", 100)

        def again() -> None:
            self.clock.callLater(0, again)

        again()
        with self.assertRaises(NeverIdle):
            self.network.advance()

    def test_exception_of_a_call_is_raised_and_nothing_is_left_behind(self) -> None:
        self.clock.callLater(0, lambda: 1 / 0)
        with self.assertRaises(ZeroDivisionError):
            self.network.advance()
        self.assertEqual(self.clock.getDelayedCalls(), [])
