"""The poetry client, on a reactor in memory."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.ftp import FileConsumer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from netdemo.errors import NetdemoError, PoemTooLongError
from netdemo.poetry import download, get_poem
from netdemo.poetry.client import MAX_POEM, DownloadProtocol, MemoryConsumer
from tests.wire import Wire

PEER = IPv4Address("TCP", "127.0.0.1", 9000)
POEM = b"so much depends upon\n"


@implementer(IConsumer)
class Reader:
    """A consumer that keeps what it is sent, and may pause after every write."""

    def __init__(self, pauses: bool = False, error: Exception | None = None) -> None:
        self.data = b""
        self.calls: list[str] = []
        self.producer: Any = None
        self._pauses = pauses
        self._error = error

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.calls.append("register")
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.calls.append("unregister")

    def write(self, data: bytes) -> None:
        if self._error is not None:
            raise self._error
        self.data += data
        if self._pauses:
            self.producer.pauseProducing()


class MemoryTestCase(SynchronousTestCase):
    """A test whose server is a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", 9000)
        self.reader = Reader()
        self.addCleanup(lambda: self.assertEqual([], self.reactor.getDelayedCalls()))
        self.addCleanup(lambda: self.assertEqual([], self.flushLoggedErrors()))

    def connect(self) -> Wire:
        """Accept the connection that was asked for last, and return the client's side of it."""
        factory = self.reactor.tcpClients[-1][2]
        protocol: Any = factory.buildProtocol(PEER)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        return wire

    def download(self, reader: Reader | None = None) -> tuple[Deferred[int], Wire]:
        """Start a download and connect it."""
        downloading = download(self.endpoint, reader or self.reader)
        return downloading, self.connect()


class DownloadTests(MemoryTestCase):
    """Downloads to a consumer."""

    def test_producer_and_consumer_are_what_they_should_be(self) -> None:
        protocol = DownloadProtocol(self.reader)
        self.assertTrue(verifyObject(IPushProducer, protocol))
        self.assertTrue(verifyObject(IConsumer, MemoryConsumer(1)))

    def test_what_comes_is_written_as_it_comes(self) -> None:
        downloading, wire = self.download()
        wire.protocol.dataReceived(b"so much ")
        self.assertEqual(self.reader.data, b"so much ")
        wire.protocol.dataReceived(b"depends")
        self.assertEqual(self.reader.data, b"so much depends")
        self.assertNoResult(downloading)
        wire.end()
        self.assertEqual(self.successResultOf(downloading), 15)

    def test_poem_of_nothing_is_whole(self) -> None:
        downloading, wire = self.download()
        wire.end()
        self.assertEqual(self.successResultOf(downloading), 0)

    def test_nothing_is_sent_to_the_server(self) -> None:
        _, wire = self.download()
        self.assertEqual(wire.value(), b"")
        self.assertFalse(wire.write_ended)
        wire.end()

    @given(st.lists(st.binary()))
    def test_bytes_arrive_in_order_however_they_are_cut(self, parts: list[bytes]) -> None:
        reader = Reader()
        downloading, wire = self.download(reader)
        for part in parts:
            wire.protocol.dataReceived(part)
        wire.end()
        self.assertEqual(reader.data, b"".join(parts))
        self.assertEqual(self.successResultOf(downloading), len(reader.data))

    def test_producer_is_registered_when_connected_and_unregistered_once(self) -> None:
        downloading = download(self.endpoint, self.reader)
        self.assertEqual(self.reader.calls, [])
        wire = self.connect()
        self.assertEqual(self.reader.calls, ["register"])
        wire.end()
        self.assertEqual(self.reader.calls, ["register", "unregister"])
        self.successResultOf(downloading)

    def test_consumer_pauses_and_resumes_the_transport(self) -> None:
        reader = Reader(pauses=True)
        downloading, wire = self.download(reader)
        wire.protocol.dataReceived(POEM)
        self.assertEqual(wire.producerState, "paused")
        reader.producer.resumeProducing()
        self.assertEqual(wire.producerState, "producing")
        wire.end()
        self.successResultOf(downloading)

    def test_refused_connection_fails_and_registers_nothing(self) -> None:
        downloading = download(self.endpoint, self.reader)
        connector: Any = self.reactor.connectors[0]
        factory = self.reactor.tcpClients[0][2]
        factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
        self.failureResultOf(downloading, ConnectionRefusedError)
        self.assertEqual(self.reader.calls, [])

    def test_connection_that_ends_otherwise_fails_with_its_reason(self) -> None:
        for reason in (ConnectionLost, ConnectionAborted):
            reader = Reader()
            downloading, wire = self.download(reader)
            wire.protocol.dataReceived(POEM)
            wire.end(reason())
            self.failureResultOf(downloading, reason)
            self.assertEqual(reader.calls, ["register", "unregister"])

    def test_error_of_the_consumer_fails_it_and_aborts(self) -> None:
        reader = Reader(error=OSError("disk full"))
        downloading, wire = self.download(reader)
        wire.protocol.dataReceived(POEM)
        self.failureResultOf(downloading, OSError)
        self.assertFalse(wire.connected)
        self.assertEqual(reader.calls, ["register", "unregister"])
        wire.protocol.dataReceived(POEM)  # TLS may have decrypted more already

    def test_error_when_the_producer_is_unregistered_fails_it(self) -> None:
        class Full(BytesIO):
            def close(self) -> None:
                raise OSError("disk full")

            def __del__(self) -> None:
                """Close nothing: Python 3.13 tells of that which fails."""

        downloading = download(self.endpoint, FileConsumer(Full()))
        self.connect().end()
        self.failureResultOf(downloading, OSError)

    def test_consumer_that_takes_no_producer_fails_it_and_aborts(self) -> None:
        other = Wire(cast("Any", None))
        other.registerProducer(self.reader, True)
        downloading = download(self.endpoint, other)
        wire = self.connect()
        self.failureResultOf(downloading, RuntimeError)
        self.assertFalse(wire.connected)
        self.assertIs(other.producer, self.reader)

    def test_consumer_that_stops_its_producer_has_not_the_whole(self) -> None:
        downloading, _ = self.download()
        self.reader.producer.stopProducing()
        self.failureResultOf(downloading, ConnectionAborted)
        self.assertEqual(self.reader.calls, ["register", "unregister"])


class CancelTests(MemoryTestCase):
    """Downloads that are cancelled."""

    def test_while_connecting(self) -> None:
        downloading = download(self.endpoint, self.reader)
        downloading.cancel()
        self.failureResultOf(downloading, CancelledError)
        self.assertEqual(cast("Any", self.reactor.connectors[0]).stoppedConnecting, True)
        self.assertEqual(self.reader.calls, [])

    def test_while_downloading(self) -> None:
        downloading, wire = self.download()
        wire.protocol.dataReceived(POEM)
        downloading.cancel()
        self.failureResultOf(downloading, CancelledError)
        self.assertFalse(wire.connected)
        self.assertEqual(self.reader.calls, ["register", "unregister"])

    def test_while_the_consumer_pauses(self) -> None:
        reader = Reader(pauses=True)
        downloading, wire = self.download(reader)
        wire.protocol.dataReceived(POEM)
        downloading.cancel()
        self.failureResultOf(downloading, CancelledError)
        self.assertFalse(wire.connected)

    def test_when_it_has_ended(self) -> None:
        downloading, wire = self.download()
        wire.end()
        downloading.cancel()
        self.assertEqual(self.successResultOf(downloading), 0)

    def test_by_its_consumer(self) -> None:
        downloadings: list[Deferred[int]] = []

        class Cancelling(Reader):
            def write(self, data: bytes) -> None:
                super().write(data)
                downloadings[0].cancel()

        reader = Cancelling()
        downloadings.append(download(self.endpoint, reader))
        wire = self.connect()
        wire.protocol.dataReceived(POEM)
        self.failureResultOf(downloadings[0], CancelledError)
        self.assertEqual(reader.calls, ["register", "unregister"])

    def test_poem_in_memory(self) -> None:
        getting = get_poem(self.endpoint)
        wire = self.connect()
        getting.cancel()
        self.failureResultOf(getting, CancelledError)
        self.assertFalse(wire.connected)


class GetPoemTests(MemoryTestCase):
    """Poems in memory."""

    def test_whole_poem_is_its_result(self) -> None:
        getting = get_poem(self.endpoint)
        wire = self.connect()
        wire.protocol.dataReceived(POEM)
        wire.protocol.dataReceived(POEM)
        wire.end()
        self.assertEqual(self.successResultOf(getting), POEM + POEM)

    def test_poem_of_just_the_limit_is_kept(self) -> None:
        getting = get_poem(self.endpoint, limit=len(POEM))
        wire = self.connect()
        wire.protocol.dataReceived(POEM)
        wire.end()
        self.assertEqual(self.successResultOf(getting), POEM)

    def test_longer_poem_fails_at_once_and_aborts(self) -> None:
        getting = get_poem(self.endpoint, limit=len(POEM))
        wire = self.connect()
        wire.protocol.dataReceived(POEM)
        wire.protocol.dataReceived(b"!")
        error = self.failureResultOf(getting, PoemTooLongError).value
        self.assertIsInstance(error, NetdemoError)
        self.assertEqual(str(error), f"poem too long: expected at most {len(POEM)} bytes")
        self.assertFalse(wire.connected)

    def test_there_is_a_limit_when_none_is_named(self) -> None:
        self.assertEqual(MAX_POEM, 64 * 1024 * 1024)
