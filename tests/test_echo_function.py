"""The function ``echo``, in memory and over real sockets."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from netdemo.echo import EchoFactory, echo, echo_client
from netdemo.echo.client import PATIENCE
from netdemo.errors import EchoError
from tests.wire import Wire

MIB = 1024 * 1024
reactor: Any = installed_reactor


class EchoTests(SynchronousTestCase):
    """The function, which connects, sends, waits and closes."""

    def setUp(self) -> None:
        self.memory = MemoryReactorClock()
        endpoint = TCP4ClientEndpoint(self.memory, "192.0.2.1", 7)
        self.echo = echo(endpoint, b"hello", self.memory)
        self.factory: Any = self.memory.tcpClients[0][2]

    def connect(self) -> Wire:
        """Connect it, and return its transport."""
        protocol = cast("Protocol", self.factory.buildProtocol(None))
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        return wire

    def test_fires_with_the_echo_when_the_connection_is_closed(self) -> None:
        wire = self.connect()
        wire.protocol.dataReceived(b"hel")
        wire.protocol.dataReceived(b"lo")
        self.assertTrue(wire.disconnecting)
        self.assertNoResult(self.echo)
        wire.end()
        self.assertEqual(b"hello", self.successResultOf(self.echo))
        self.assertEqual([], self.memory.getDelayedCalls())

    def test_it_is_not_half_closed(self) -> None:
        # A server that knows no half-close would take it for a client that has left.
        self.assertFalse(self.connect().write_ended)
        self.echo.cancel()
        self.failureResultOf(self.echo, CancelledError)

    def test_refused_connection_is_told_in_a_few_words(self) -> None:
        self.factory.clientConnectionFailed(None, Failure(ConnectionRefusedError(osError=111)))
        failure = self.failureResultOf(self.echo, EchoError)
        self.assertEqual("Connection refused", str(failure.value))

    def test_wrong_answer_fails_it(self) -> None:
        self.connect().protocol.dataReceived(b"bye")
        self.failureResultOf(self.echo, EchoError)

    def test_silence_fails_it(self) -> None:
        self.connect()
        self.memory.advance(PATIENCE)
        self.failureResultOf(self.echo, EchoError)

    def test_cancelling_it_while_connecting_ends_the_attempt(self) -> None:
        self.echo.cancel()
        self.failureResultOf(self.echo, CancelledError)
        self.assertTrue(self.memory.connectors[0].stoppedConnecting)

    def test_cancelling_it_while_waiting_aborts(self) -> None:
        wire = self.connect()
        self.echo.cancel()
        self.failureResultOf(self.echo, CancelledError)
        self.assertFalse(wire.connected)

    def test_cancelling_it_while_closing_aborts(self) -> None:
        wire = self.connect()
        wire.protocol.dataReceived(b"hello")
        self.echo.cancel()
        self.failureResultOf(self.echo, CancelledError)
        self.assertFalse(wire.connected)


class SocketTests(TestCase):
    """Real sockets on the loopback."""

    timeout = 30

    def listen(self, factory: Factory) -> TCP4ClientEndpoint:
        """Listen until the end of the test; return where."""
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)

    async def test_message_of_many_megabytes_comes_back(self) -> None:
        message = bytes(range(256)) * (64 * 1024)
        endpoint = self.listen(EchoFactory(reactor))
        self.assertTrue(await echo(endpoint, message, reactor) == message)

    async def test_empty_message_comes_back(self) -> None:
        endpoint = self.listen(EchoFactory(reactor))
        self.assertEqual(b"", await echo(endpoint, b"", reactor))

    async def test_half_closed_connection_has_all_back(self) -> None:
        endpoint = self.listen(EchoFactory(reactor))
        async with echo_client(endpoint, reactor) as client:
            client.write(bytes(4 * MIB))
            client.half_close()
            await client.when_back()
            await client.close()
        self.assertEqual(4 * MIB, client.back)

    async def test_client_that_is_not_closed_is_aborted(self) -> None:
        factory = EchoFactory(reactor)
        async with echo_client(self.listen(factory), reactor) as client:
            client.write(b"hello")
            await client.when_back()
        await factory.when_empty()
        self.failureResultOf(client.when_ended(), EchoError)

    async def test_server_that_hangs_up_is_told(self) -> None:
        class HangingUp(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(data[:2])
                self.transport.loseConnection()

        endpoint = self.listen(Factory.forProtocol(HangingUp))
        with self.assertRaisesRegex(EchoError, "^closed early: 2 of 5 bytes came back$"):
            await echo(endpoint, b"hello", reactor)
