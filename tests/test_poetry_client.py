"""The poetry client, on a reactor in memory and on real sockets, plain and with TLS."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.protocols.ftp import FileConsumer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from netdemo.errors import NetdemoError, PoemTooLongError
from netdemo.poetry import PoetryFactory, download, get_poem
from netdemo.poetry.client import MAX_POEM, DownloadProtocol, MemoryConsumer
from tests.certificates import write_certificate
from tests.folders import temporary_folder
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

PEER = IPv4Address("TCP", "127.0.0.1", 9000)
POEM = b"so much depends upon\n"
PATIENCE = 10.0
LARGE = bytes(range(256)) * 16 * 1024 + b"end"


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


class SlowReader(Reader):
    """Pauses after every write, and goes on when the reactor has turned a while later."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()
        cast("Any", reactor).callLater(0.001, self._resume)

    def _resume(self) -> None:
        if self.calls[-1] == "register":
            self.producer.resumeProducing()


class SocketTests(TestCase):
    """Real sockets on the loopback; the servers are threads, with plain blocking sockets."""

    timeout = 60

    def serve(self, answer: Callable[[socket.socket], None]) -> TCP4ClientEndpoint:
        """Let `answer` have the first connection, in a thread; return the server's endpoint."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.settimeout(PATIENCE)

        def accept() -> None:
            connection, _ = listening.accept()
            connection.settimeout(PATIENCE)
            with connection:
                answer(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self.addCleanup(deferToThread, thread.join, PATIENCE)
        return TCP4ClientEndpoint(reactor, "127.0.0.1", listening.getsockname()[1])

    def tls(self, endpoint: TCP4ClientEndpoint) -> SSL4ClientEndpoint:
        """Speak TLS with `endpoint`, whatever its certificate."""
        return SSL4ClientEndpoint(reactor, endpoint._host, endpoint._port, CertificateOptions())

    def context(self) -> ssl.SSLContext:
        """Return what a server needs for TLS."""
        certificate = temporary_folder(self) / "tls.pem"
        write_certificate(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return context

    async def test_our_own_servers_poem_is_byte_identical(self) -> None:
        path = temporary_folder(self) / "poem.txt"
        path.write_bytes(LARGE)
        server: Any = PoetryFactory(path, cast("Any", reactor))
        port: Any = cast("Any", reactor).listenTCP(0, server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        self.assertTrue(await get_poem(endpoint) == LARGE)
        self.assertEqual(await download(endpoint, SlowReader()), len(LARGE))
        await server.when_empty()

    async def test_server_that_closes_while_the_consumer_pauses_is_read_to_its_end(self) -> None:
        endpoint = self.serve(lambda connection: connection.sendall(LARGE))
        reader = SlowReader()
        self.assertEqual(await download(endpoint, reader), len(LARGE))
        self.assertTrue(reader.data == LARGE)

    async def test_reset_connection_fails(self) -> None:
        def reset(connection: socket.socket) -> None:
            connection.sendall(LARGE * 3)  # more than is taken before it is read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        with self.assertRaises(ConnectionLost):
            await get_poem(self.serve(reset))

    async def test_tls_that_is_closed_is_whole(self) -> None:
        context = self.context()

        def close(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(LARGE)
                tls.unwrap()

        reader = SlowReader()
        await download(self.tls(self.serve(close)), reader)
        self.assertTrue(reader.data == LARGE)

    async def test_tls_that_is_cut_off_fails_though_tcp_is_closed_cleanly(self) -> None:
        context = self.context()

        def cut(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(POEM)
                tls.recv(0)

        with self.assertRaises(ConnectionLost):
            await get_poem(self.tls(self.serve(cut)))

    async def test_cancelled_download_closes_the_servers_connection(self) -> None:
        ended = threading.Event()

        def wait(connection: socket.socket) -> None:
            connection.sendall(POEM)
            try:
                connection.recv(1)
            except ConnectionResetError:
                ended.set()

        class Cancelling(Reader):
            def write(self, data: bytes) -> None:
                super().write(data)
                cast("Any", reactor).callLater(0, downloading.cancel)

        downloading = download(self.serve(wait), Cancelling())
        with self.assertRaises(CancelledError):
            await downloading
        self.assertTrue(await deferToThread(ended.wait, PATIENCE))
