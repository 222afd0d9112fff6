"""Standard input and output for commands that stream, on pipes."""

from __future__ import annotations

import os
import pty
import select
from io import FileIO
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    IReadDescriptor,
    IWriteDescriptor,
)
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.cli.stdio import MAX_WAITING, READ_SIZE, StandardInput, StandardOutput
from netdemo.errors import NetdemoError
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from unittest import TestCase


def pipe(test: TestCase) -> tuple[FileIO, FileIO]:
    """Return the two ends of a pipe, which are closed after `test`."""
    reading, writing = os.pipe()
    ends = FileIO(reading, "r"), FileIO(writing, "w")
    for end in ends:
        test.addCleanup(end.close)
    return ends


class InputTests(SynchronousTestCase):
    """What is read goes to the consumer."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.consumer = StringTransport()
        self.reading, self.writing = pipe(self)
        self.input = StandardInput(self.consumer, self.reactor, self.reading.fileno())

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(IReadDescriptor, self.input))
        self.assertTrue(verifyObject(IPushProducer, self.input))
        self.assertIs(self.input, self.consumer.producer)

    def test_what_is_there_is_written(self) -> None:
        self.writing.write(b"hello")
        self.input.doRead()
        self.assertEqual(b"hello", self.consumer.value())

    def test_one_read_is_bounded(self) -> None:
        path = temporary_folder(self) / "file"
        path.write_bytes(bytes(2 * READ_SIZE))
        with path.open("rb") as file:
            consumer = StringTransport()
            StandardInput(consumer, self.reactor, file.fileno()).doRead()
        self.assertEqual(READ_SIZE, len(consumer.value()))

    def test_end_is_told_and_ends_the_reading(self) -> None:
        self.writing.close()
        self.input.doRead()
        self.successResultOf(self.input.ended)
        self.assertEqual(([], None), (self.reactor.getReaders(), self.consumer.producer))

    def test_hangup_is_the_end(self) -> None:
        self.input.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(self.input.ended)

    def test_what_cannot_be_read_is_told(self) -> None:
        unreadable = StandardInput(StringTransport(), self.reactor, self.writing.fileno())
        unreadable.doRead()
        failure = self.failureResultOf(unreadable.ended, NetdemoError)
        self.assertEqual("cannot read standard input: Bad file descriptor", str(failure.value))

    def test_nothing_is_read_while_it_is_paused(self) -> None:
        self.input.pauseProducing()
        self.assertEqual([], self.reactor.getReaders())
        self.input.resumeProducing()
        self.assertEqual([self.input], self.reactor.getReaders())

    def test_cancelling_it_ends_the_reading(self) -> None:
        self.input.ended.cancel()
        self.failureResultOf(self.input.ended, CancelledError)
        self.assertEqual([], self.reactor.getReaders())

    def test_descriptor_that_another_made_non_blocking_is_waited_for(self) -> None:
        os.set_blocking(self.reading.fileno(), False)
        self.input.doRead()
        self.assertEqual([self.input], self.reactor.getReaders())
        self.assertNoResult(self.input.ended)


class OutputTests(SynchronousTestCase):
    """What is written goes out as fast as it is taken."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.reading, self.writing = pipe(self)
        self.output = StandardOutput(self.reactor, self.writing.fileno())
        self.producer = StringTransport()
        self.output.registerProducer(self.producer, True)

    def fill(self) -> int:
        """Write until the pipe is full and the output waits; return how much was written."""
        data = bytes(1024 * 1024)
        self.output.write(data)
        self.output.doWrite()
        return len(data)

    def drain(self) -> int:
        """Read and write until nothing waits; return how much was read."""
        count = 0
        while self.output in self.reactor.getWriters():
            count += len(self.reading.read(1024 * 1024))
            self.output.doWrite()
        while select.select([self.reading], [], [], 0)[0]:
            count += len(self.reading.read(1024 * 1024))
        return count

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(IWriteDescriptor, self.output))
        self.assertTrue(verifyObject(IConsumer, self.output))

    def test_what_is_written_goes_out(self) -> None:
        self.output.write(b"hello")
        self.output.doWrite()
        self.assertEqual(b"hello", self.reading.read(10))
        self.assertEqual([], self.reactor.getWriters())

    def test_full_pipe_is_waited_for_and_does_not_block(self) -> None:
        self.fill()
        self.assertEqual([self.output], self.reactor.getWriters())
        self.assertTrue(os.get_blocking(self.writing.fileno()))

    def test_every_byte_goes_out_as_there_is_room(self) -> None:
        self.assertEqual(self.fill(), self.drain())

    def test_producer_is_paused_while_much_waits(self) -> None:
        self.output.write(bytes(MAX_WAITING))
        self.assertEqual("producing", self.producer.producerState)
        self.fill()
        self.assertEqual("paused", self.producer.producerState)
        self.drain()
        self.assertEqual("producing", self.producer.producerState)

    def test_second_producer_and_one_that_is_pulled_are_refused(self) -> None:
        self.assertRaises(RuntimeError, self.output.registerProducer, StringTransport(), True)
        self.output.unregisterProducer()
        self.assertRaises(RuntimeError, self.output.registerProducer, StringTransport(), False)

    def test_flush_waits_for_the_last_byte(self) -> None:
        self.fill()
        flushed = self.output.flush()
        self.assertNoResult(flushed)
        self.drain()
        self.successResultOf(flushed)

    def test_flush_writes_at_once_what_has_room(self) -> None:
        self.output.write(b"hello")
        self.successResultOf(self.output.flush())
        self.assertEqual(b"hello", self.reading.read(10))

    def test_flush_with_nothing_to_write_is_done(self) -> None:
        self.successResultOf(self.output.flush())

    def test_cancelled_flush_leaves_what_waits(self) -> None:
        size = self.fill()
        flushed = self.output.flush()
        flushed.cancel()
        self.failureResultOf(flushed, CancelledError)
        self.assertEqual(size, self.drain())

    def test_abort_drops_what_waits(self) -> None:
        self.fill()
        self.output.abort()
        self.assertEqual([], self.reactor.getWriters())
        self.successResultOf(self.output.flush())

    def test_closed_pipe_stops_the_producer_and_ends_quietly(self) -> None:
        self.reading.close()
        self.output.write(b"hello")
        self.output.doWrite()
        self.assertEqual("stopped", self.producer.producerState)
        failure = self.failureResultOf(self.output.flush(), SystemExit)
        self.assertEqual(1, failure.value.code)

    def test_full_pipe_that_is_closed_ends_quietly_too(self) -> None:
        self.fill()
        flushed = self.output.flush()
        self.output.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(flushed, SystemExit)

    def test_full_disk_is_told(self) -> None:
        with open("/dev/full", "wb") as full:
            output = StandardOutput(self.reactor, full.fileno())
            output.write(b"hello")
            output.doWrite()
            output.write(b"more")
        failure = self.failureResultOf(output.flush(), NetdemoError)
        self.assertEqual(
            "cannot write standard output: No space left on device", str(failure.value)
        )
        self.assertEqual([], self.reactor.getWriters())


class TerminalTests(SynchronousTestCase):
    """Standard output that is a terminal, which nobody reads at first."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        ours, self.terminal = pty.openpty()
        self.screen = FileIO(ours, "r")
        self.addCleanup(self.screen.close)
        self.addCleanup(os.close, self.terminal)
        self.output = StandardOutput(self.reactor, self.terminal)
        self.addCleanup(self.output.close)

    def test_writing_does_not_block_and_is_waited_for(self) -> None:
        self.assertFalse(os.get_blocking(self.output.fileno()))
        data = b"so much depends upon " * 10_000
        self.output.write(data)
        flushed = self.output.flush()
        self.assertNoResult(flushed)
        shown = b""
        while len(shown) < len(data):
            shown += self.screen.read(4096)
            self.output.doWrite()
        self.assertEqual(data, shown)
        self.successResultOf(flushed)
        self.assertEqual([], self.reactor.getWriters())

    def test_it_stays_as_it_is_for_others(self) -> None:
        self.assertTrue(os.get_blocking(self.terminal))

    def test_what_was_opened_is_closed(self) -> None:
        opened = self.output.fileno()
        self.output.write(b"waits")
        self.output.close()
        self.assertRaises(OSError, os.fstat, opened)
        self.assertEqual([], self.reactor.getWriters())
        os.fstat(self.terminal)
