"""Clients that we did not write, on our broker: rabbitmq-c's tools and PHP's."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.broker_process import BrokerProcessTestCase
from tests.folders import temporary_folder
from tests.processes import PATIENCE, Process, require

if TYPE_CHECKING:
    from tests.broker_process import BrokerProcess


def run(broker: BrokerProcess, program: str, *arguments: str, data: str = "") -> str:
    """Run one of rabbitmq-c's programs, which must succeed; return what it prints."""
    done = attempt(broker, program, *arguments, data=data)
    assert done.returncode == 0, done
    return done.stdout


def attempt(
    broker: BrokerProcess, program: str, *arguments: str, data: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one of rabbitmq-c's programs."""
    return subprocess.run(
        [program, "--server=127.0.0.1", f"--port={broker.port}", *arguments],
        input=data,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class RabbitMQCTests(BrokerProcessTestCase):
    """The programs of Debian's amqp-tools, which are those of rabbitmq-c."""

    stored = True

    def setUp(self) -> None:
        require("amqp-publish")
        super().setUp()

    def run_tool(self, program: str, *arguments: str, data: str = "") -> str:
        """Run one of the programs, which must succeed."""
        return run(self.broker, program, *arguments, data=data)

    def test_declared_queue_is_filled_and_emptied(self) -> None:
        self.assertEqual("q\n", self.run_tool("amqp-declare-queue", "-q", "q"))
        self.run_tool("amqp-publish", "-r", "q", "-b", "one")
        self.run_tool("amqp-publish", "-r", "q", data="two")
        self.assertEqual("one", self.run_tool("amqp-get", "-q", "q"))
        self.assertEqual("two", self.run_tool("amqp-get", "-q", "q"))
        self.assertEqual(2, attempt(self.broker, "amqp-get", "-q", "q").returncode)

    def test_name_of_a_queue_is_the_brokers_when_there_is_none(self) -> None:
        self.assertRegex(self.run_tool("amqp-declare-queue", "-q", ""), r"\Aamq\.gen-[\w-]{22}\n\Z")

    def test_deleted_queue_tells_how_many_messages_it_had(self) -> None:
        self.run_tool("amqp-declare-queue", "-q", "q")
        self.run_tool("amqp-publish", "-r", "q", "-l", data="one\ntwo\nthree\n")
        self.assertEqual("3\n", self.run_tool("amqp-delete-queue", "-q", "q"))

    def test_missing_queue_is_told_of(self) -> None:
        done = attempt(self.broker, "amqp-get", "-q", "q")
        self.assertIn("NOT_FOUND - no queue 'q' in vhost '/'", done.stderr)

    def test_wrong_password_is_told_of(self) -> None:
        done = attempt(self.broker, "amqp-get", "-q", "q", "--username=guest", "--password=x")
        self.assertEqual(1, done.returncode)
        self.assertIn("ACCESS_REFUSED", done.stderr)

    def test_lines_are_consumed_in_order_some_at_a_time(self) -> None:
        lines = [f"line {number}\n" for number in range(200)]
        self.run_tool("amqp-declare-queue", "-q", "q", "-d")
        self.run_tool("amqp-publish", "-r", "q", "-p", "-l", data="".join(lines))
        for prefetch in ("1", "7"):
            consumed = self.run_tool("amqp-consume", "-q", "q", "-c", "100", "-p", prefetch, "cat")
            expected, lines = lines[:100], lines[100:]
            self.assertEqual("".join(expected), consumed)
        self.assertEqual("0\n", self.run_tool("amqp-delete-queue", "-q", "q"))

    def test_what_a_consumer_does_not_do_stays(self) -> None:
        self.run_tool("amqp-declare-queue", "-q", "q")
        self.run_tool("amqp-publish", "-r", "q", "-l", data="one\ntwo\n")
        # It reads what it is given, then fails; "false" would have ended before.
        failing = ("grep", "nobody")
        done = attempt(self.broker, "amqp-consume", "-q", "q", "-c", "1", "-p", "1", *failing)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual("one\n", self.run_tool("amqp-get", "-q", "q"))

    def test_exclusive_queue_gets_what_its_exchange_is_sent(self) -> None:
        folder = temporary_folder(self)
        consuming = Process(
            *("amqp-consume", "--server=127.0.0.1", f"--port={self.broker.port}"),
            *("-x", "-e", "amq.topic", "-r", "logs.#", "-c", "2", "cat"),
            cwd=folder,
        )
        self.addCleanup(consuming.remove)
        consuming.wait_for("Server provided queue name")
        for key in ("logs.one", "other", "logs"):
            self.run_tool("amqp-publish", "-e", "amq.topic", "-r", key, "-b", f"{key}\n")
        self.assertEqual(0, consuming.wait())
        self.assertEqual(["logs.one\n", "logs\n"], consuming.lines[-2:])

    def test_large_message_comes_back_whole(self) -> None:
        body = "0123456789abcdef" * 65536
        self.run_tool("amqp-declare-queue", "-q", "q")
        self.run_tool("amqp-publish", "-r", "q", data=body)
        self.assertEqual(body, self.run_tool("amqp-get", "-q", "q"))

    def test_persistent_message_of_a_durable_queue_survives_a_restart(self) -> None:
        self.run_tool("amqp-declare-queue", "-q", "kept", "-d")
        self.run_tool("amqp-publish", "-r", "kept", "-p", "-b", "kept")
        self.run_tool("amqp-publish", "-r", "kept", "-b", "transient")
        self.assertEqual(-signal.SIGTERM, self.broker.stop())
        self.broker.start()
        self.assertEqual("kept", self.run_tool("amqp-get", "-q", "kept"))
        self.assertEqual("0\n", self.run_tool("amqp-delete-queue", "-q", "kept"))


class PHPTests(BrokerProcessTestCase):
    """A program with Debian's php-amqplib."""

    def test_publishing_consuming_and_errors_are_as_expected(self) -> None:
        require("php")
        program = Path(__file__).with_name("foreign_client.php")
        done = subprocess.run(
            ["php", program, str(self.broker.port)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        expected = [
            "101 acked, 0 nacked, 1 returned",
            "consumed 100, sum 4950",
            '99 rejected [1,"two",null] 2.5 true',
            "whole",
            "404 NOT_FOUND - no queue 'none' in vhost '/'",
            "0 0 left",
        ]
        self.assertEqual(expected, done.stdout.splitlines(), done)
