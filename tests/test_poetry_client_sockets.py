"""The poetry client on real sockets, plain and with TLS."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any, cast

from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.ssl import CertificateOptions
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from netdemo.poetry import PoetryFactory, download, get_poem
from tests.certificates import write_certificate
from tests.folders import temporary_folder
from tests.test_poetry_client import POEM, Reader

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 10.0
"""Seconds that a server of the tests waits before it gives up."""

LARGE = bytes(range(256)) * 16 * 1024 + b"end"


class SlowReader(Reader):
    """Pauses after every write, and goes on when the reactor has turned."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()
        cast("Any", reactor).callLater(0, self._resume)

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

    async def test_server_whose_machine_has_gone_is_found_out(self) -> None:
        context = self.context()

        def close(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.unwrap()

        class Watching(Reader):
            def registerProducer(self, producer: Any, streaming: bool) -> None:
                super().registerProducer(producer, streaming)
                self.kept_alive = producer.transport.getTcpKeepAlive()

        plain, encrypted = Watching(), Watching()
        await download(self.serve(lambda _: None), plain)
        await download(self.tls(self.serve(close)), encrypted)
        self.assertTrue(plain.kept_alive and encrypted.kept_alive)

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
