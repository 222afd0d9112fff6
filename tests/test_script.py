"""`run`, without a process: what it gives to a program, and how that ends."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp import AMQPClient, Message, script
from netdemo.amqp.broker_url import BROKER_VARIABLE
from netdemo.errors import NetdemoError
from tests.memory_clients import QUEUE, MemoryClientTestCase
from tests.test_cli_stdio import pipe


class RunTests(MemoryClientTestCase):
    """The coroutine of a program, on a broker in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(sys, "argv", ["program.py"])
        self.reactor = MemoryReactor()

    def run_program(self, main: Any, *arguments: object) -> Deferred[None]:
        """Run `main`; fire when it has ended."""

        def memory_client(urls: list[str], reactor: object) -> AMQPClient:
            self.assertIs(reactor, self.reactor)
            client = AMQPClient(urls, self.network.clock, endpoint=self.network.endpoint)
            self.addCleanup(self.stop, client)
            return client

        with (
            mock.patch.dict(os.environ, {BROKER_VARIABLE: self.broker.url()}),
            mock.patch.object(script, "AMQPClient", memory_client),
        ):
            running = Deferred.fromCoroutine(script._run(self.reactor, main, *arguments))
        self.network.advance()
        return running

    def exit_line(self, running: Deferred[None]) -> object:
        """Return the line with which a program has exited."""
        return self.failureResultOf(running, SystemExit).value.code

    def test_client_is_ready_and_arguments_are_handed_on(self) -> None:
        async def main(client: AMQPClient, text: str, count: int) -> None:
            self.assertEqual(client.status.state, "ready")
            for _ in range(count):
                await client.publish(Message(text.encode()), routing_key=QUEUE)

        self.successResultOf(self.run_program(main, "hello", 2))
        self.assertEqual(self.collect(), [b"hello", b"hello"])

    def test_client_is_stopped_before_the_reactor(self) -> None:
        clients: list[AMQPClient] = []

        async def main(client: AMQPClient) -> None:
            clients.append(client)

        self.successResultOf(self.run_program(main))
        (client,) = clients
        triggers = [call for call, *_ in self.reactor.triggers["before"]["shutdown"]]
        self.assertIn(client.stopService, triggers)

    def test_error_meant_for_people_is_one_line(self) -> None:
        async def main(client: AMQPClient) -> None:
            await client.publish(Message(b""), routing_key="nowhere")

        line = self.exit_line(self.run_program(main))
        self.assertRegex(str(line), r"\Aprogram\.py: .*NO_ROUTE.*\Z")

    def test_argument_that_is_not_utf_8_is_one_line(self) -> None:
        async def main(client: AMQPClient, text: str) -> None:
            await client.publish(Message(text.encode()), routing_key=QUEUE)

        line = self.exit_line(self.run_program(main, "\udcff"))
        self.assertRegex(str(line), r"\Aprogram\.py: .*surrogates not allowed\Z")

    def test_programming_error_stays_what_it_is(self) -> None:
        async def main(_: AMQPClient) -> None:
            raise ZeroDivisionError

        self.failureResultOf(self.run_program(main), ZeroDivisionError)

    def test_broker_that_refuses_is_named_without_a_second_attempt(self) -> None:
        self.broker.refuse_connections()
        line = str(self.exit_line(self.run_program(self.fail)))
        self.assertTrue(line.startswith("program.py: amqp://memory:5672/: "), line)

    def test_malformed_url_is_one_line(self) -> None:
        with mock.patch.dict(os.environ, {BROKER_VARIABLE: "mqtt://a"}):
            running = Deferred.fromCoroutine(script._run(self.reactor, self.fail))
        line = str(self.exit_line(running))
        self.assertTrue(line.startswith("program.py: bad broker URL 'mqtt://a': "), line)

    def test_stopped_while_it_connects_fails(self) -> None:
        client = self.broker.client()
        self.addCleanup(self.stop, client)
        starting = Deferred.fromCoroutine(script.start(client))
        client.stopService()
        self.assertIn("stopped", str(self.failure(starting, NetdemoError)))


class OutputTests(SynchronousTestCase):
    """What a program prints."""

    def setUp(self) -> None:
        super().setUp()
        self.reading, writing = pipe(self)
        self.patch(sys, "stdout", io.TextIOWrapper(writing, "utf-8", "replace"))

    def test_line_is_shown_at_once_after_what_was_printed_before(self) -> None:
        print("before")
        script._show_lines_at_once()
        print("after \udcff")
        self.assertEqual(os.read(self.reading.fileno(), 100), b"before\nafter ?\n")

    def test_line_that_nobody_reads_ends_the_program(self) -> None:
        program = "from netdemo.amqp import script; script._show_lines_at_once(); print('line')"
        self.reading.close()
        ended = subprocess.run(
            [sys.executable, "-c", program], stdout=sys.stdout, stderr=subprocess.PIPE, timeout=60
        )
        self.assertEqual((ended.returncode, ended.stderr), (1, b""))

    def test_output_that_is_closed_or_no_file_is_left_alone(self) -> None:
        for output in (None, io.StringIO()):
            self.patch(sys, "stdout", output)
            script._show_lines_at_once()
            self.assertIs(sys.stdout, output)
