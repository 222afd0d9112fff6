"""How our protocols end, on transports with real sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from netdemo.transport import (
    address_text,
    has_socket,
    lowest,
    unacknowledged,
    write_and_end,
    write_at_once,
)

LARGE = os.urandom(1024 * 1024)


class SocketTestCase(SynchronousTestCase):
    """A transport in a reactor in memory, with a pair of real sockets."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.peer.setblocking(False)
        self.transport: Any = Connection(ours, Protocol(), self.reactor)
        self.transport.connected = 1

    def read(self) -> bytes:
        """Return what has arrived, and raise `BlockingIOError` if nothing has."""
        return self.peer.recv(2 * len(LARGE))

    def turn(self) -> object:
        """Let the reactor turn once; return what it is told of the transport."""
        self.assertEqual([self.transport], self.reactor.getWriters())
        result: object = self.transport.doWrite()
        return result


class HasSocketTests(SocketTestCase):
    """Which transports write to a socket as it is."""

    def test_connection_has_one(self) -> None:
        self.assertTrue(has_socket(self.transport))

    def test_connection_that_speaks_tls_has_none(self) -> None:
        self.transport.TLS = True
        self.assertFalse(has_socket(self.transport))

    def test_transport_in_memory_has_none(self) -> None:
        self.assertFalse(has_socket(StringTransport()))


class UnacknowledgedTests(SocketTestCase):
    """What the kernel keeps for a peer."""

    def test_it_is_what_the_peer_has_not_taken(self) -> None:
        self.assertEqual(0, unacknowledged(self.transport))
        write_and_end(self.transport, LARGE)
        full = unacknowledged(self.transport)
        self.peer.recv(len(LARGE) // 2)
        self.assertGreater(full, unacknowledged(self.transport))

    def test_it_is_that_of_the_lowest_transport(self) -> None:
        write_and_end(self.transport, LARGE)
        above: Any = StringTransport()
        above.transport = self.transport
        self.assertIs(self.transport, lowest(above))
        self.assertEqual(unacknowledged(self.transport), unacknowledged(above))

    def test_transport_in_memory_keeps_nothing(self) -> None:
        self.assertEqual(0, unacknowledged(StringTransport()))


class WriteAtOnceTests(SocketTestCase):
    """What is written while nothing else waits."""

    def test_socket_takes_it_at_once(self) -> None:
        write_at_once(self.transport, b"hello")
        self.assertEqual(b"hello", self.read())
        self.assertEqual([], self.reactor.getWriters())

    def test_what_waits_goes_first(self) -> None:
        self.transport.write(b"one ")
        write_at_once(self.transport, b"two")
        self.assertRaises(BlockingIOError, self.read)
        self.turn()
        self.assertEqual(b"one two", self.read())

    def test_what_the_socket_does_not_take_waits(self) -> None:
        received = b""
        for piece in (LARGE, b"two", b"three"):
            write_at_once(self.transport, piece)
        while self.reactor.getWriters():
            received += self.read()
            self.turn()
        self.assertTrue(received + self.read() == LARGE + b"twothree")

    def test_what_was_sent_partly_goes_first(self) -> None:
        write_at_once(self.transport, LARGE)
        received = self.read()
        self.turn()
        write_at_once(self.transport, b"two")
        while self.reactor.getWriters():
            received += self.read()
            self.turn()
        self.assertTrue(received + self.read() == LARGE + b"two")

    def test_producer_is_paused_when_much_waits(self) -> None:
        producer = StringTransport()
        self.transport.registerProducer(producer, True)
        write_at_once(self.transport, LARGE)
        self.assertEqual("paused", producer.producerState)

    def test_peer_that_has_gone_is_found_out_by_the_transport(self) -> None:
        self.peer.close()
        write_at_once(self.transport, b"hello")
        self.assertIs(CONNECTION_LOST, self.turn())

    def test_transport_in_memory_is_written_to(self) -> None:
        transport: Any = StringTransport()
        write_at_once(transport, b"hello")
        self.assertEqual(b"hello", transport.value())


class WriteAndEndTests(SocketTestCase):
    """The first and the last that is written."""

    def test_socket_takes_all_of_it_and_the_end_at_once(self) -> None:
        self.assertTrue(write_and_end(self.transport, b"poem"))
        self.assertEqual((b"poem", b""), (self.read(), self.read()))
        self.assertEqual([], self.reactor.getWriters())

    def test_nothing_is_an_end_too(self) -> None:
        self.assertTrue(write_and_end(self.transport, b""))
        self.assertEqual(b"", self.read())

    def test_what_the_socket_does_not_take_waits_and_then_the_end(self) -> None:
        self.assertFalse(write_and_end(self.transport, LARGE))
        received = self.read()
        self.assertRaises(BlockingIOError, self.read)
        while len(received) < len(LARGE):
            self.turn()
            received += self.read()
        self.assertTrue(received == LARGE)
        while self.reactor.getWriters():
            self.turn()
        self.assertEqual(b"", self.read())

    def test_peer_that_has_gone_is_found_out_by_the_transport(self) -> None:
        self.peer.close()
        self.assertFalse(write_and_end(self.transport, b"poem"))
        self.assertIs(CONNECTION_LOST, self.turn())

    def test_both_go_in_one_packet_over_tcp(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname())
            self.addCleanup(peer.close)
            ours, _ = listening.accept()
            self.addCleanup(ours.close)
        transport: Any = Connection(ours, Protocol(), self.reactor)
        transport.connected = 1
        before = segments_sent(ours)
        self.assertTrue(write_and_end(transport, b"poem"))
        self.assertEqual(1, segments_sent(ours) - before)


def segments_sent(connection: socket.socket) -> int:
    """Return how many packets a TCP connection has sent (``tcpi_segs_out``, ``linux/tcp.h``)."""
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int.from_bytes(information[136:140], "little")


class AddressTextTests(SynchronousTestCase):
    """A peer's address in a line of the log."""

    def test_it_is_what_one_would_type(self) -> None:
        for address, text in (
            (IPv4Address("TCP", "192.0.2.1", 5), "192.0.2.1:5"),
            (IPv6Address("TCP", "2001:db8::1", 5), "[2001:db8::1]:5"),
            (UNIXAddress(None), "unix socket"),
            (None, "None"),
        ):
            self.assertEqual(text, address_text(address))
