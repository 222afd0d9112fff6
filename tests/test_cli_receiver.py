"""``netdemo receive``: what is printed, and what becomes of messages, on a broker in memory."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactor

from netdemo.amqp import Consumer, Delivery, Message, Queue, Topology
from netdemo.cli.connection import acknowledged, when_accepted
from netdemo.cli.receiver import Printer, body_line
from netdemo.cli.shell import ShellCommand
from netdemo.cli.stdio import StandardOutput
from netdemo.cli.worker import LATER, LATER_DELAY, Worker, variables
from netdemo.errors import ChannelClosed, NetdemoError
from tests.memory_clients import QUEUE, WORK, MemoryClientTestCase
from tests.scripted_processes import ScriptedProcesses
from tests.test_cli_stdio import pipe

if TYPE_CHECKING:
    from netdemo.cli.receiver import Receiver

DEAD = "dead"
WITH_DEAD_LETTERS = Topology(
    queues=(
        Queue(DEAD),
        Queue("jobs", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD}),
    )
)


class PrinterTests(MemoryClientTestCase):
    """Each message is acknowledged when it is written."""

    def setUp(self) -> None:
        super().setUp()
        self.reading, self.writing = pipe(self)
        self.output = StandardOutput(MemoryReactor(), self.writing.fileno())

    def start(self, count: int | None, prefetch: int = 10) -> Printer:
        """Let a printer have the messages."""
        printer = Printer(count, body_line, self.output)
        self.client.add(Consumer(QUEUE, printer.handle, prefetch=prefetch))
        self.addCleanup(printer.stop)
        self.network.advance()
        return printer

    def printed(self) -> bytes:
        """Have what waits written, and return all that was."""
        self.output.doWrite()
        self.network.advance()
        return self.reading.read(65536)

    def test_messages_are_acknowledged_when_they_are_written(self) -> None:
        self.publish(b"a", b"", b"c")
        self.start(None)
        unacknowledged = self.broker.broker.vhost("/").queue(QUEUE)
        self.assertEqual(self.printed(), b"a\n\nc\n")
        self.broker.restart()
        self.network.advance(10)
        self.assertEqual(unacknowledged.count(), 0)
        self.assertEqual(self.ready(), 0)

    def test_done_fires_after_the_count_and_the_rest_goes_back(self) -> None:
        self.publish(b"a", b"b", b"c")
        printer = self.start(2)
        self.assertNoResult(printer.done)
        self.assertEqual(self.printed(), b"a\nb\n")
        self.successResultOf(printer.done)
        printer.stop()
        self.result(self.client.stopService())
        self.assertEqual((printer.accepted, self.ready()), (2, 1))

    def test_what_is_not_written_when_it_stops_goes_back(self) -> None:
        self.publish(b"a", b"b")
        printer = self.start(None)
        printer.stop()
        self.result(self.client.stopService())
        self.assertEqual((printer.accepted, self.ready()), (0, 2))

    def test_what_can_not_be_written_goes_back_and_is_told(self) -> None:
        self.publish(b"a", b"b")
        printer = self.start(None)
        self.reading.close()
        self.output.doWrite()
        self.failureResultOf(printer.done, SystemExit)
        printer.stop()
        self.result(self.client.stopService())
        self.assertEqual(self.ready(), 2)


class WorkerTestCase(MemoryClientTestCase):
    """A worker with scripted processes, and a queue with one for dead letters."""

    def setUp(self) -> None:
        super().setUp()
        self.result(self.client.declare(WITH_DEAD_LETTERS))
        self.processes = ScriptedProcesses(self.network.clock)
        told = mock.patch("netdemo.cli.worker.tell")
        self.tell = told.start()
        self.addCleanup(told.stop)

    def send(self, *bodies: bytes) -> None:
        """Publish jobs."""
        for body in bodies:
            self.result(self.client.publish(Message(body, message_id="m"), routing_key="jobs"))

    def start(self, count: int | None = None, prefetch: int = 1) -> Worker:
        """Let a worker have the jobs."""
        worker = Worker(count, ShellCommand("work", self.processes), self.processes)
        consumer = Consumer("jobs", worker.handle, prefetch=prefetch)
        consumer.add_status_listener(worker.heard)
        self.client.add(consumer)
        self.addCleanup(worker.stop)
        self.network.advance()
        return worker

    def end(self, status: int, index: int = -1) -> None:
        """End a command, and let time pass for all that follows."""
        self.processes.started[index].end(status)
        self.network.advance()

    def left(self, worker: Receiver) -> tuple[int, int]:
        """Stop; return how many jobs are in the queue, and how many dead letters."""
        worker.stop()
        self.result(self.client.stopService())
        return self.ready("jobs"), self.ready(DEAD)


class WorkerTests(WorkerTestCase):
    """The end of the command decides."""

    def test_status_0_acknowledges(self) -> None:
        self.send(b"a")
        worker = self.start(count=1)
        self.assertEqual(b"a", self.processes.last.stdin)
        self.assertNoResult(worker.done)
        self.end(0)
        self.successResultOf(worker.done)
        self.assertEqual((0, 0), self.left(worker))
        self.tell.assert_not_called()

    def test_other_status_rejects_and_is_told(self) -> None:
        self.send(b"a")
        worker = self.start(count=1)
        self.end(3)
        self.successResultOf(worker.done)
        self.assertEqual((0, 1, 0), (worker.accepted, worker.rejected, self.ready("jobs")))
        self.tell.assert_called_once_with("netdemo receive: message 'm' is rejected: exit status 3")
        self.assertEqual((0, 1), self.left(worker))

    def test_status_75_gives_it_back_later(self) -> None:
        self.send(b"a")
        worker = self.start(count=1)
        self.end(LATER)
        self.network.advance(LATER_DELAY / 2)
        self.assertEqual(1, len(self.processes.started))
        self.network.advance(LATER_DELAY / 2)
        self.assertEqual(2, len(self.processes.started))
        self.end(0)
        self.successResultOf(worker.done)

    def test_message_that_is_held_goes_back_at_once_when_it_stops(self) -> None:
        self.send(b"a")
        worker = self.start()
        self.end(LATER)
        self.assertEqual((1, 0), self.left(worker))

    def test_signal_gives_it_a_second_chance_once(self) -> None:
        self.send(b"a")
        worker = self.start()
        self.end(-signal.SIGSEGV)
        self.assertEqual(2, len(self.processes.started))
        self.end(-signal.SIGSEGV)
        self.assertEqual((0, 1), self.left(worker))

    def test_signal_of_which_the_shell_tells_gives_it_a_second_chance_too(self) -> None:
        self.send(b"a")
        worker = self.start()
        self.end(128 + signal.SIGKILL)
        self.assertEqual(2, len(self.processes.started))
        self.end(128 + signal.SIGKILL)
        self.assertEqual((0, 1), self.left(worker))

    def test_success_after_the_connection_was_lost_does_not_count(self) -> None:
        self.send(b"a", b"b")
        worker = self.start(count=2)
        self.broker.drop()
        self.network.advance(10)
        self.end(0)
        self.assertEqual((0, b"a"), (worker.accepted, self.processes.last.stdin))
        self.end(0)
        self.assertNoResult(worker.done)
        self.end(0)
        self.successResultOf(worker.done)
        self.assertEqual((0, 0), self.left(worker))

    def test_rejection_after_the_connection_was_lost_does_not_count(self) -> None:
        self.send(b"a")
        worker = self.start(count=1)
        self.broker.drop()
        self.network.advance(10)
        self.end(3)
        self.assertEqual((0, 2), (worker.rejected, len(self.processes.started)))
        self.end(0)
        self.successResultOf(worker.done)
        self.assertEqual((0, 0), self.left(worker))

    def test_what_waits_when_the_connection_is_lost_is_not_begun(self) -> None:
        self.send(b"a", b"b", b"c")
        worker = self.start(count=2, prefetch=3)
        self.broker.drop()
        self.network.advance(10)
        self.end(0, 0)
        self.end(0, 1)
        self.assertEqual([b"a", b"b", b"a", b"b"], [each.stdin for each in self.processes.started])
        self.end(0, 2)
        self.end(0, 3)
        self.successResultOf(worker.done)
        self.assertEqual((1, 0), self.left(worker))

    def test_command_that_can_not_be_started_ends_it_and_the_message_goes_back(self) -> None:
        self.send(b"a")
        worker = self.start()
        self.end(127)
        error = self.failureResultOf(worker.done, NetdemoError).value
        self.assertEqual("cannot run 'work': exit status 127", str(error))
        self.assertEqual((1, 0), self.left(worker))

    def test_process_that_can_not_be_had_ends_it_and_the_message_goes_back(self) -> None:
        self.processes.error = OSError(11, "Resource temporarily unavailable")
        self.send(b"a")
        worker = self.start()
        self.failureResultOf(worker.done, NetdemoError)
        self.assertEqual((1, 0), self.left(worker))

    def test_failure_while_nobody_reads_standard_output_is_not_the_messages(self) -> None:
        self.send(b"a")
        worker = self.start()
        with mock.patch("netdemo.cli.worker.standard_output_is_broken", return_value=True):
            self.end(-signal.SIGPIPE)
        self.failureResultOf(worker.done, SystemExit)
        self.assertEqual((1, 0), self.left(worker))

    def test_as_many_run_at_once_as_may(self) -> None:
        self.send(b"a", b"b", b"c")
        worker = self.start(prefetch=2)
        self.assertEqual(2, len(self.processes.started))
        self.end(0, 0)
        self.assertEqual(3, len(self.processes.started))
        self.end(0, 1)
        self.end(0, 2)
        self.assertEqual((0, 0), self.left(worker))

    def test_no_more_are_begun_than_the_count_unless_one_goes_back(self) -> None:
        self.send(b"a", b"b", b"c")
        worker = self.start(count=2, prefetch=3)
        self.assertEqual(2, len(self.processes.started))
        self.end(LATER, 0)
        self.network.advance(LATER_DELAY)
        self.assertEqual(3, len(self.processes.started))
        self.end(0, 1)
        self.assertNoResult(worker.done)
        self.end(0, 2)
        self.successResultOf(worker.done)
        self.assertEqual((1, 0), self.left(worker))


class StoppingTests(WorkerTestCase):
    """What is running when it stops."""

    def test_success_is_acknowledged(self) -> None:
        self.send(b"a", b"b")
        worker = self.start()
        worker.stop()
        self.tell.assert_called_once_with("netdemo: waiting up to 10 s for commands to end: 1 run")
        stopping = self.client.stopService()
        self.network.advance(5)
        self.assertNoResult(stopping)
        self.end(0)
        self.successResultOf(stopping)
        self.assertEqual((1, 1, 0), (len(self.processes.started), *self.left(worker)))

    def test_failure_is_taken_for_an_interrupt(self) -> None:
        self.send(b"a")
        worker = self.start()
        worker.stop()
        stopping = self.client.stopService()
        self.end(130)
        self.successResultOf(stopping)
        self.assertEqual((1, 0), self.left(worker))

    def test_failure_that_is_heard_of_before_the_signal_is_one_too(self) -> None:
        self.send(b"a")
        worker = self.start()
        self.processes.last.end(130)
        worker.stop()
        self.assertEqual((1, 0), self.left(worker))

    def test_message_of_a_command_that_goes_on_goes_back(self) -> None:
        self.send(b"a")
        command = ShellCommand("work", self.processes)
        worker = Worker(None, command, self.processes)
        self.client.add(Consumer("jobs", worker.handle))
        self.network.advance()
        worker.stop()
        stopping = self.client.stopService()
        self.network.advance(20)
        self.successResultOf(stopping)
        command.stop()
        self.assertEqual([signal.SIGTERM], self.processes.last.signals)
        self.assertEqual((1, 0), (self.ready("jobs"), self.ready(DEAD)))


class VariablesTests(MemoryClientTestCase):
    """What a command finds in its environment."""

    def test_properties_and_place_are_there_and_what_is_missing_is_empty(self) -> None:
        message = Message(b"", message_id="é", app_id="\udcff", priority=0, type="a\0b")
        found = variables(Delivery(message, "ex", "key", redelivered=True, delivery_tag=1))
        expected = {
            b"NETDEMO_EXCHANGE": b"ex",
            b"NETDEMO_ROUTING_KEY": b"key",
            b"NETDEMO_REDELIVERED": b"1",
            b"NETDEMO_MESSAGE_ID": "é".encode(),
            b"NETDEMO_APP_ID": b"\xff",
            b"NETDEMO_PRIORITY": b"0",
            b"NETDEMO_DELIVERY_MODE": b"2",
            b"NETDEMO_TYPE": b"",
            b"NETDEMO_REPLY_TO": b"",
        }
        self.assertEqual(expected, {name: found[name] for name in expected})
        self.assertNotIn(b"NETDEMO_BROKER", found)


class ConnectionTests(MemoryClientTestCase):
    """What the broker says."""

    def test_consumer_that_is_let_consume_is_accepted(self) -> None:
        consumer = Consumer(QUEUE, lambda _: None)
        self.client.add(consumer)
        self.result(when_accepted(consumer))

    def test_consumer_that_is_refused_is_told_in_the_brokers_words(self) -> None:
        consumer = Consumer("nowhere", lambda _: None)
        self.client.add(consumer)
        error = self.failure(when_accepted(consumer), ChannelClosed)
        self.assertIn("NOT_FOUND - no queue 'nowhere'", str(error))
        self.client.remove(consumer)

    def test_consumer_whose_connection_is_lost_first_is_waited_for(self) -> None:
        consumer = Consumer(QUEUE, lambda _: None)
        self.client.add(consumer)
        accepted = when_accepted(consumer)
        self.broker.drop()
        self.result(accepted, 10)

    def test_acknowledgements_are_read_when_the_broker_answers(self) -> None:
        self.result(acknowledged(self.client, WORK))

    def test_acknowledgements_are_not_known_when_the_connection_is_lost(self) -> None:
        waiting = Deferred.fromCoroutine(acknowledged(self.client, WORK))
        self.broker.drop()
        self.network.advance(10)
        self.failureResultOf(waiting, NetdemoError)
