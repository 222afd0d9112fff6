"""``netdemo poetry``, on a reactor in memory, and its files."""

from __future__ import annotations

import errno
import os
from io import BytesIO, StringIO
from typing import Any
from unittest import mock
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.cli.output import PIECE, FileWriter, NamedFileWriter
from netdemo.cli.poetry import PoetryOptions, file_name
from netdemo.cli.stdio import StandardOutput
from netdemo.errors import AddressError, NetdemoError
from tests.folders import temporary_folder
from tests.test_cli_stdio import pipe
from tests.wire import Wire

PEER = IPv4Address("TCP", "127.0.0.1", 9000)


class Full(BytesIO):
    """A file on a disk that is full."""

    def write(self, data: Any) -> int:  # noqa: ARG002
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __del__(self) -> None:
        """Close nothing: Python 3.13 tells of that which fails."""


class Unreadable(BytesIO):
    """A file on a disk that is broken."""

    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002
        raise OSError(errno.EIO, "Input/output error")


class FileTests(SynchronousTestCase):
    """Files that are named when they are complete."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.path = self.folder / "poem"

    def writer(self) -> NamedFileWriter:
        """Return a writer of the file."""
        writer = NamedFileWriter(self.path)
        self.addCleanup(writer.close)
        return writer

    def test_it_is_a_consumer(self) -> None:
        self.assertTrue(verifyObject(IConsumer, self.writer()))

    def test_it_has_its_name_when_it_is_complete(self) -> None:
        writer = self.writer()
        writer.write(b"so much ")
        (name,) = os.listdir(self.folder)
        self.assertTrue(name.startswith(".poem."))
        writer.write(b"depends")
        writer.complete()
        writer.close()
        self.assertEqual(os.listdir(self.folder), ["poem"])
        self.assertEqual(self.path.read_bytes(), b"so much depends")
        self.assertEqual(writer.written, 15)

    def test_it_takes_the_place_of_another_only_when_it_is_complete(self) -> None:
        self.path.write_bytes(b"old")
        writer = self.writer()
        writer.write(b"new")
        self.assertEqual(self.path.read_bytes(), b"old")
        writer.complete()
        self.assertEqual(self.path.read_bytes(), b"new")

    def test_it_is_removed_when_it_never_was_complete(self) -> None:
        writer = self.writer()
        writer.write(b"so much ")
        writer.close()
        self.assertEqual(os.listdir(self.folder), [])

    def test_its_permissions_are_those_of_any_new_file(self) -> None:
        self.addCleanup(os.umask, os.umask(0o027))
        self.writer().complete()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    def test_name_that_is_a_folders_is_refused_when_it_is_complete(self) -> None:
        self.path.mkdir()
        error = self.assertRaises(NetdemoError, self.writer().complete)
        self.assertEqual(str(error), f"cannot write {self.path}: Is a directory")

    def test_folder_that_is_missing_is_refused_at_once(self) -> None:
        self.path = self.folder / "none" / "poem"
        error = self.assertRaises(NetdemoError, NamedFileWriter, self.path)
        self.assertEqual(str(error), f"cannot write {self.path}: No such file or directory")

    def test_full_disk_is_said_and_leaves_no_file(self) -> None:
        writer = self.writer()
        writer.file.close()
        writer.file = Full()
        for failing in (lambda: writer.write(b"x"), writer.complete):
            error = self.assertRaises(NetdemoError, failing)
            self.assertEqual(str(error), f"cannot write {self.path}: No space left on device")
        writer.close()
        self.assertEqual(os.listdir(self.folder), [])

    def test_disk_that_is_full_at_the_last_byte_is_said(self) -> None:
        writer = FileWriter(open("/dev/full", "wb"))  # noqa: SIM115
        self.addCleanup(writer.close)
        writer.write(b"so much")  # which waits in a buffer
        error = self.assertRaises(NetdemoError, writer.complete)
        self.assertEqual(str(error), "cannot write temporary file: No space left on device")

    def test_it_is_read_from_its_start(self) -> None:
        writer = FileWriter(BytesIO())
        for _ in range(2):
            writer.write(bytes(PIECE))
        writer.write(b"end")
        writer.complete()
        self.assertEqual(list(writer.pieces()), [bytes(PIECE), bytes(PIECE), b"end"])

    def test_what_cannot_be_read_is_said(self) -> None:
        error = self.assertRaises(NetdemoError, lambda: list(FileWriter(Unreadable()).pieces()))
        self.assertEqual(str(error), "cannot read temporary file: Input/output error")

    def test_what_was_not_written_is_not_counted(self) -> None:
        writer = FileWriter(Full())
        self.assertRaises(NetdemoError, writer.write, b"x")
        self.assertEqual(writer.written, 0)


class OptionsTests(SynchronousTestCase):
    """What may be typed."""

    def refusal(self, *arguments: str) -> str:
        """Return what is said of a mistake."""
        return str(self.assertRaises(usage.UsageError, PoetryOptions().parseOptions, arguments))

    def test_no_address_is_refused(self) -> None:
        self.assertIn("no ADDRESS", self.refusal())

    def test_same_address_twice_is_refused_with_output_alone(self) -> None:
        PoetryOptions().parseOptions(["9000", "9000"])
        self.assertIn("the same ADDRESS twice", self.refusal("9000", "9000", "--output=x"))

    def test_timeout_is_a_positive_number(self) -> None:
        self.assertIn("bad --timeout '0'", self.refusal("9000", "--timeout=0"))


class OutputTests(SynchronousTestCase):
    """``--output``, with servers in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.folder = temporary_folder(self) / "poems"
        self.stderr = StringIO()
        patched = mock.patch("sys.stderr", self.stderr)
        patched.start()
        self.addCleanup(patched.stop)
        self.addCleanup(lambda: self.assertEqual([], self.reactor.getDelayedCalls()))

    def start(self, *arguments: str) -> Deferred[None]:
        """Run the command."""
        options = PoetryOptions()
        options.parseOptions([*arguments, f"--output={self.folder}"])
        return Deferred.fromCoroutine(options.run(self.reactor))

    def connect(self, number: int) -> Wire:
        """Accept the connection of so manieth address, from 0."""
        protocol: Any = self.reactor.tcpClients[number][2].buildProtocol(PEER)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        return wire

    def files(self) -> dict[str, bytes]:
        """Return what is in the folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def test_all_are_downloaded_at_once(self) -> None:
        running = self.start("9000", "9001")
        first, second = self.connect(0), self.connect(1)
        second.protocol.dataReceived(b"two")
        second.end()
        first.protocol.dataReceived(b"one")
        first.end()
        self.successResultOf(running)
        self.assertEqual(self.files(), {"9000": b"one", "9001": b"two"})
        self.assertEqual(self.stderr.getvalue(), "")

    def test_one_that_fails_is_told_at_once_and_keeps_no_other(self) -> None:
        running = self.start("9000", "9001")
        self.connect(0).end(ConnectionError("gone"))
        self.assertEqual(self.stderr.getvalue(), "netdemo poetry: 9000: gone\n")
        second = self.connect(1)
        second.protocol.dataReceived(b"two")
        second.end()
        self.assertEqual(self.failureResultOf(running, SystemExit).value.code, 1)
        self.assertEqual(self.files(), {"9001": b"two"})

    def test_one_that_fails_leaves_no_file_though_others_go_on(self) -> None:
        running = self.start("9000", "9001")
        self.connect(1).end(ConnectionError("gone"))
        (name,) = os.listdir(self.folder)
        self.assertTrue(name.startswith(".9000."))
        running.cancel()
        self.failureResultOf(running, CancelledError)

    def test_report_that_cannot_be_written_keeps_no_other(self) -> None:
        self.stderr.write = mock.Mock(side_effect=BrokenPipeError)  # type: ignore[method-assign]
        running = self.start("9000", "9001")
        self.connect(0).end(ConnectionError("gone"))
        second = self.connect(1)
        second.protocol.dataReceived(b"two")
        second.end()
        self.assertEqual(self.failureResultOf(running, SystemExit).value.code, 1)
        self.assertEqual(self.files(), {"9001": b"two"})

    def test_one_that_is_slow_is_given_up(self) -> None:
        running = self.start("9000", "9001", "--timeout=5")
        first = self.connect(0)
        first.protocol.dataReceived(b"part")
        self.connect(1).end()
        self.reactor.advance(4)
        self.assertNoResult(running)
        self.reactor.advance(1)
        self.failureResultOf(running, SystemExit)
        self.assertFalse(first.connected)
        self.assertEqual(self.stderr.getvalue(), "netdemo poetry: 9000: timed out\n")
        self.assertEqual(self.files(), {"9001": b""})

    def test_cancelled_it_leaves_no_connection_and_no_file(self) -> None:
        running = self.start("9000", "9001", "9002", "--timeout=5")
        first, second = self.connect(0), self.connect(1)
        first.protocol.dataReceived(b"part")
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertFalse(first.connected or second.connected)
        self.assertEqual(self.files(), {})

    def test_bad_address_is_refused_before_anything_is_done(self) -> None:
        error = self.failureResultOf(self.start("9000", "nonsense"), AddressError).value
        self.assertIn("'nonsense'", str(error))
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertFalse(self.folder.exists())

    def test_folder_that_cannot_be_is_refused_before_anything_is_done(self) -> None:
        self.folder.touch()
        error = self.failureResultOf(self.start("9000"), NetdemoError).value
        self.assertEqual(str(error), f"cannot use --output {str(self.folder)!r}: File exists")
        self.assertEqual(self.reactor.tcpClients, [])

    def test_name_too_long_for_a_file_is_refused_before_anything_is_done(self) -> None:
        address = f"tcp:{'h' * 260}:80"
        error = self.failureResultOf(self.start("9000", address), NetdemoError).value
        self.assertIn("File name too long", str(error))
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertEqual(self.files(), {})


class PrintingTests(SynchronousTestCase):
    """Without ``--output``, to a pipe."""

    def test_cancelled_while_nobody_reads_it_writes_no_more(self) -> None:
        reactor = MemoryReactorClock()
        _, writing = pipe(self)
        output = StandardOutput(reactor, writing.fileno())
        options = PoetryOptions()
        options.parseOptions(["9000"])
        with mock.patch("netdemo.cli.poetry.StandardOutput", return_value=output):
            running = Deferred.fromCoroutine(options.run(reactor))
        protocol: Any = reactor.tcpClients[0][2].buildProtocol(PEER)
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        protocol.dataReceived(bytes(1024 * 1024))  # more than a pipe takes
        wire.end()
        self.assertEqual([output], reactor.getWriters())
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual([], reactor.getWriters())


class NameTests(SynchronousTestCase):
    """Names of files."""

    def test_address_is_the_name_as_it_was_given(self) -> None:
        for address in ("9000", "poems.example:9000", "[::1]:9000", "tcp:host=h:port=1"):
            self.assertEqual(file_name(address), address)

    def test_what_may_not_stand_in_a_name_is_quoted(self) -> None:
        self.assertEqual(file_name("unix:/run/a%b.sock"), "unix:%2Frun%2Fa%25b.sock")

    @given(st.binary(min_size=1).map(os.fsdecode))
    def test_any_address_is_a_name_of_its_own(self, address: str) -> None:
        name = file_name(address)
        self.assertNotIn("/", name)
        self.assertNotIn("\0", name)
        self.assertEqual(os.fsdecode(unquote_to_bytes(name)), address)
