"""``netdemo call`` and ``netdemo serve``: their options, and replies on a broker in memory."""

from __future__ import annotations

import signal
from unittest import mock

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp import Delivery, Message, RPCClient, RPCServer
from netdemo.cli.call import CallOptions
from netdemo.cli.fibonacci import MAX_N, fibonacci, serve_fibonacci
from netdemo.cli.serve import Replier, ServeOptions
from netdemo.cli.shell import ShellCommand
from netdemo.errors import NetdemoError, RemoteError
from tests.memory_clients import QUEUE, MemoryClientTestCase
from tests.scripted_processes import ScriptedProcesses


class OptionsTests(SynchronousTestCase):
    """The command lines."""

    def refusal(self, options: usage.Options, *arguments: str) -> str:
        """Return what is said of a mistake."""
        return str(self.assertRaises(usage.UsageError, options.parseOptions, arguments))

    def test_serve_takes_one_of_fib_and_exec(self) -> None:
        for arguments in ((), ("--fib", "--exec=cat")):
            said = self.refusal(ServeOptions(), "/queue/a", *arguments)
            self.assertEqual("expected --fib or --exec, one of them", said)

    def test_serve_serves_so_many_at_once(self) -> None:
        options = ServeOptions()
        options.parseOptions(["/queue/a", "--fib"])
        self.assertEqual(1, options["parallel"])
        self.assertIn("from 1 to 256", self.refusal(options, "/queue/a", "--parallel=257"))

    def test_call_has_a_time_that_amqp_can_express(self) -> None:
        options = CallOptions()
        options.parseOptions(["/queue/a", "30"])
        self.assertEqual((30.0, b"30"), (options["timeout"], options["body"]))
        said = self.refusal(CallOptions(), "/queue/a", "30", "--timeout=1e9")
        self.assertEqual("bad --timeout '1e+09': expected at most 4294967 seconds", said)
        self.assertIn("--timeout", self.refusal(CallOptions(), "/queue/a", "x", "--timeout=0"))

    def test_call_needs_a_body(self) -> None:
        self.assertIn("arguments", self.refusal(CallOptions(), "/queue/a"))

    def test_help_has_an_example(self) -> None:
        for options in (CallOptions(), ServeOptions()):
            self.assertIn("Example: ", str(options))


class FibonacciTests(SynchronousTestCase):
    """The worker of the tutorial."""

    def reply(self, request: bytes) -> bytes:
        """Return the reply to a request."""
        return serve_fibonacci(Delivery(Message(request), "", "k", False, 1))

    def test_numbers(self) -> None:
        self.assertEqual([0, 1, 1, 2, 3, 5, 8], [fibonacci(n) for n in range(7)])
        self.assertEqual(b"832040", self.reply(b"30"))
        self.assertEqual(b"55", self.reply(b" 10\n"))

    def test_largest_is_replied_to(self) -> None:
        self.assertEqual(2090, len(self.reply(b"%d" % MAX_N)))

    def test_other_requests_are_errors_for_the_caller(self) -> None:
        for request in (b"", b"-1", b"1.5", b"x", b"10001", b"9" * 10_000, "٣".encode(), b"1\0"):
            error = self.assertRaises(RemoteError, self.reply, request)
            self.assertIn("expected a whole number from 0 to 10000", str(error))
            self.assertLess(len(str(error)), 150)


class ReplierTests(MemoryClientTestCase):
    """What a command makes of calls."""

    def setUp(self) -> None:
        super().setUp()
        self.processes = ScriptedProcesses(self.network.clock)
        told = mock.patch("netdemo.cli.serve.tell")
        self.tell = told.start()
        self.addCleanup(told.stop)
        command = ShellCommand("work", self.processes, max_output=10)
        self.replier = Replier(command, self.processes)
        self.server = self.add_client()
        self.network.advance()
        RPCServer(self.server, QUEUE, self.replier.reply)
        self.call = RPCClient(self.client).call(QUEUE, b"request")
        self.network.advance()
        self.process = self.processes.last

    def test_output_is_the_reply(self) -> None:
        self.assertEqual(b"request", self.process.stdin)
        self.process.write_output(b"reply")
        self.process.end(0)
        self.assertEqual(b"reply", self.result(self.call))

    def test_failure_is_an_error_with_the_last_words(self) -> None:
        self.process.write_errors(b"first\nlast\n")
        self.process.end(3)
        error = self.failure(self.call, RemoteError)
        self.assertEqual("exit status 3: last", str(error))
        self.tell.assert_called_once_with("netdemo serve: exit status 3: last")

    def test_too_much_output_is_an_error(self) -> None:
        self.process.write_output(b"x" * 11)
        error = self.failure(self.call, RemoteError)
        self.assertEqual("more than 10 bytes of output", str(error))
        self.process.end(-signal.SIGKILL)

    def test_command_that_can_not_be_started_gives_the_call_back(self) -> None:
        self.replier.failed.addErrback(self.stop_the_server)
        self.process.end(127)
        self.network.advance()
        self.assertIsInstance(self.error, NetdemoError)
        self.assertEqual(1, self.ready())
        self.call.cancel()
        self.failureResultOf(self.call)

    def stop_the_server(self, failure: object) -> None:
        """Do what the command does then."""
        self.error = getattr(failure, "value", None)
        self.replier.stop()
        self.server.stopService()

    def test_failure_while_it_stops_gives_the_call_back(self) -> None:
        self.replier.stop()
        self.server.stopService()
        self.process.end(130)
        self.network.advance()
        self.assertEqual(1, self.ready())
        self.call.cancel()
        self.failureResultOf(self.call)
