"""The poetry server."""

from __future__ import annotations

import os
import unittest
from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from netdemo.listening import Refused
from netdemo.poetry.lingering import LINGER
from netdemo.poetry.server import PoetryFactory, PoetryProtocol, poetry_service
from tests.folders import temporary_folder
from tests.wire import Wire

PEER = IPv4Address("TCP", "127.0.0.1", 50000)
DESCRIPTORS = Path("/proc/self/fd")
LARGE = bytes(range(256)) * 4 * 1024 + b"end"


class PoetryTestCase(SynchronousTestCase):
    """A test with a poem in a folder of its own."""

    def setUp(self) -> None:
        self.path = temporary_folder(self).resolve() / "poem.txt"
        self.path.write_bytes(b"so much depends upon\n")
        self.clock = Clock()
        self.factory = PoetryFactory(self.path, self.clock)
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))

    def connect(self) -> tuple[PoetryProtocol, Any]:
        """Return the server of one connection, and its transport."""
        protocol = cast("PoetryProtocol", self.factory.buildProtocol(PEER))
        transport = Wire(protocol)
        self.addCleanup(transport.end)
        protocol.makeConnection(transport)
        return protocol, transport

    def download(self, transport: Any) -> bytes:
        """Take all that is sent, as a peer that always reads; it must end with a close."""
        while transport.producer is not None:
            transport.producer.resumeProducing()
        self.assertTrue(transport.disconnecting or transport.write_ended)
        return bytes(transport.value())

    def leave(self, transport: Any) -> None:
        """Let the peer leave, as a real transport tells of it."""
        if transport.producer is not None:
            transport.producer.stopProducing()
        transport.end(ConnectionLost())


class PoetryTests(PoetryTestCase):
    """What those who connect are sent."""

    def test_it_can_be_half_closed_while_something_waits_to_be_sent(self) -> None:
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.connect()[0]))
        self.path.write_bytes(LARGE)
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.connect()[0]))

    def test_file_is_sent_and_the_connection_closed(self) -> None:
        self.assertEqual(b"so much depends upon\n", self.download(self.connect()[1]))

    def test_empty_file_closes_the_connection(self) -> None:
        self.path.write_bytes(b"")
        self.assertEqual(b"", self.download(self.connect()[1]))

    def test_large_file_is_sent_whole(self) -> None:
        self.path.write_bytes(LARGE)
        self.assertTrue(self.download(self.connect()[1]) == LARGE)

    def test_no_more_is_read_than_the_peer_takes(self) -> None:
        self.path.write_bytes(LARGE)
        _, transport = self.connect()
        transport.producer.resumeProducing()
        self.assertLessEqual(len(transport.value()), 64 * 1024)

    def test_small_file_is_handed_over_in_one_write(self) -> None:
        transport = self.connect()[1]
        self.assertIsNone(transport.producer)
        self.assertEqual(b"so much depends upon\n", transport.value())

    def test_large_file_is_pulled_by_the_transport(self) -> None:
        self.path.write_bytes(LARGE)
        self.assertFalse(self.connect()[1].streaming)

    def test_file_that_grows_is_sent_as_it_was(self) -> None:
        self.path.write_bytes(LARGE)
        _, transport = self.connect()
        with self.path.open("ab") as file:
            file.write(b"more")
        self.assertTrue(self.download(transport) == LARGE)

    def test_each_connection_is_sent_the_whole_file(self) -> None:
        transports = [self.connect()[1], self.connect()[1]]
        self.assertEqual(
            [b"so much depends upon\n"] * 2, [self.download(each) for each in transports]
        )

    def test_replaced_file_is_sent_to_those_who_connect_later(self) -> None:
        self.download(self.connect()[1])
        self.path.write_bytes(b"a red wheel\nbarrow\n")
        self.assertEqual(b"a red wheel\nbarrow\n", self.download(self.connect()[1]))

    def test_replaced_file_is_still_sent_to_those_who_are_connected(self) -> None:
        self.path.write_bytes(LARGE)
        _, transport = self.connect()
        other = self.path.with_name("other")
        other.write_bytes(b"a red wheel\nbarrow\n")
        other.replace(self.path)
        self.assertTrue(self.download(transport) == LARGE)

    def test_what_the_peer_sends_is_dropped(self) -> None:
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(b"so much depends upon\n", self.download(transport))

    def test_peer_that_half_closes_is_sent_the_whole_file(self) -> None:
        self.path.write_bytes(LARGE)
        protocol, transport = self.connect()
        transport.producer.resumeProducing()
        protocol.readConnectionLost()
        self.assertTrue(self.download(transport) == LARGE)

    def test_peer_that_half_closed_is_closed_when_it_has_the_poem(self) -> None:
        self.path.write_bytes(LARGE)
        protocol, transport = self.connect()
        protocol.readConnectionLost()
        self.download(transport)
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.write_ended)

    def test_peer_is_half_closed_first_and_closed_when_it_closes(self) -> None:
        protocol, transport = self.connect()
        self.download(transport)
        self.assertTrue(transport.write_ended)
        self.assertFalse(transport.disconnecting)
        protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)

    def test_peer_that_never_closes_is_closed_after_a_silence(self) -> None:
        protocol, transport = self.connect()
        self.download(transport)
        self.clock.pump([LINGER, LINGER - 1])
        protocol.dataReceived(b"still here")
        self.clock.pump([1, LINGER - 1])
        self.assertFalse(transport.disconnecting)
        self.clock.advance(LINGER)
        self.assertTrue(transport.disconnecting)

    def test_peer_that_talks_before_it_has_the_poem_is_not_timed_out(self) -> None:
        self.path.write_bytes(LARGE)
        protocol, _ = self.connect()
        protocol.dataReceived(b"hello")
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_tls_is_closed_at_once_since_it_reads_on_by_itself(self) -> None:
        self.path.write_bytes(LARGE)
        _, transport = self.connect()
        directlyProvides(transport, ISSLTransport)
        self.download(transport)
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.write_ended)

    def test_tcp_under_all_else_is_closed_when_the_peer_never_ends_tls(self) -> None:
        self.path.write_bytes(LARGE)
        protocol, transport = self.connect()
        directlyProvides(transport, ISSLTransport)
        transport.transport = between = Wire(protocol)
        between.transport = tcp = Wire(protocol)  # type: ignore[attr-defined]
        self.download(transport)
        self.clock.advance(LINGER)
        self.assertFalse(tcp.disconnecting)
        self.clock.advance(LINGER)
        self.assertTrue(tcp.disconnecting)

    def test_end_of_the_connection_is_told_to_the_factory(self) -> None:
        _, transport = self.connect()
        self.download(transport)
        transport.end()
        self.assertEqual(set(), self.factory.connections)


class VanishedFileTests(PoetryTestCase):
    """A file that is gone after the start."""

    def setUp(self) -> None:
        super().setUp()
        self.path.unlink()

    def test_connection_is_closed_with_nothing_sent(self) -> None:
        self.assertEqual(b"", self.download(self.connect()[1]))

    def test_one_line_is_logged(self) -> None:
        with capturedLogs() as logged:
            self.connect()
        self.assertEqual(
            [(LogLevel.error, self.path, "No such file or directory")],
            [(event["log_level"], event["path"], event["reason"]) for event in logged],
        )

    def test_no_traceback_is_logged(self) -> None:
        self.connect()
        self.assertEqual([], self.flushLoggedErrors())

    def test_end_of_the_connection_makes_room(self) -> None:
        self.leave(self.connect()[1])
        self.assertEqual(set(), self.factory.connections)

    def test_pipe_in_its_place_is_not_waited_for(self) -> None:
        os.mkfifo(self.path)
        self.assertEqual(b"", self.download(self.connect()[1]))

    def test_file_that_is_back_is_sent_to_those_who_connect_later(self) -> None:
        self.connect()
        self.path.write_bytes(b"back")
        self.assertEqual(b"back", self.download(self.connect()[1]))


@unittest.skipUnless(DESCRIPTORS.exists(), "a file whose reading fails is taken from /proc")
class UnreadableFileTests(PoetryTestCase):
    """A file that can be opened and not be read."""

    def setUp(self) -> None:
        super().setUp()
        self.path.unlink()
        self.path.symlink_to("/proc/self/mem")

    def test_connection_is_closed_with_nothing_sent(self) -> None:
        self.assertEqual(b"", self.download(self.connect()[1]))

    def test_one_line_is_logged(self) -> None:
        with capturedLogs() as logged:
            self.download(self.connect()[1])
        self.assertEqual([LogLevel.error], [event["log_level"] for event in logged])


@unittest.skipUnless(DESCRIPTORS.exists(), "open files are counted in /proc")
class OpenFilesTests(PoetryTestCase):
    """No file stays open after its connection."""

    def open_files(self) -> int:
        """Return how often the poem is open in this process."""
        return sum(_link(descriptor) == str(self.path) for descriptor in os.listdir(DESCRIPTORS))

    def test_small_file_is_closed_at_once(self) -> None:
        self.connect()
        self.assertEqual(0, self.open_files())

    def test_large_file_is_open_while_it_is_sent(self) -> None:
        self.path.write_bytes(LARGE)
        self.connect()
        self.assertEqual(1, self.open_files())

    def test_file_is_closed_when_the_peer_leaves_midway(self) -> None:
        self.path.write_bytes(LARGE)
        _, transport = self.connect()
        transport.producer.resumeProducing()
        self.leave(transport)
        self.assertEqual(0, self.open_files())

    def test_peer_that_leaves_midway_is_no_logged_error(self) -> None:
        self.path.write_bytes(LARGE)
        _, transport = self.connect()
        transport.producer.resumeProducing()
        self.leave(transport)
        self.assertEqual([], self.flushLoggedErrors())

    def test_file_is_closed_when_it_was_sent(self) -> None:
        self.path.write_bytes(LARGE)
        _, transport = self.connect()
        self.download(transport)
        self.assertEqual(0, self.open_files())


def _link(descriptor: str) -> str:
    try:
        return os.readlink(DESCRIPTORS / descriptor)
    except OSError:  # the one with which the folder was listed
        return ""


class PoetryServiceTests(PoetryTestCase):
    """The service of several endpoints."""

    def test_it_is_a_service(self) -> None:
        service = poetry_service(self.path, ["tcp:1"], MemoryReactorClock())
        self.assertTrue(verifyObject(IService, service))

    def test_limit_counts_over_all_endpoints(self) -> None:
        memory = MemoryReactorClock()
        poetry_service(self.path, ["tcp:1", "tcp:2"], memory, max_connections=1).startService()
        first, second = (server[1] for server in memory.tcpServers)
        first.buildProtocol(PEER)
        self.assertIsInstance(second.buildProtocol(PEER), Refused)
