"""The programs in ``examples/`` as processes, on a real RabbitMQ."""

from __future__ import annotations

import sys
from pathlib import Path

import pika

from tests.folders import temporary_folder
from tests.processes import Process, heed_interrupts
from tests.rabbitmq import RabbitMQTestCase

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
QUEUES = ("hello", "task_queue", "durable", "rpc_queue")
"""Those that outlive a program."""


class ExampleTestCase(RabbitMQTestCase):
    """A test that starts examples, and leaves none of their queues."""

    def setUp(self) -> None:
        super().setUp()
        heed_interrupts(self)
        self.broker = self.node.url
        self.folder = temporary_folder(self)
        self.addCleanup(self.delete_queues, *QUEUES)

    def waiting(self, queue: str) -> int:
        """Return how many messages wait in `queue`."""
        with pika.BlockingConnection(pika.URLParameters(self.node.url)) as connection:
            declared = connection.channel().queue_declare(queue, passive=True)
            return int(declared.method.message_count)

    def start(self, program: str, *arguments: str) -> Process:
        """Start an example."""
        process = Process(
            sys.executable,
            EXAMPLES / program,
            *arguments,
            cwd=self.folder,
            # They show what they print at once, also where it goes through a pipe.
            environment={"NETDEMO_BROKER": self.broker, "PYTHONUNBUFFERED": ""},
        )
        self.addCleanup(process.remove)
        return process

    def listen(self, program: str, *arguments: str) -> Process:
        """Start an example that waits for messages; return when it does."""
        process = self.start(program, *arguments)
        process.wait_for("Ctrl-C ends it")
        return process

    def run_to_its_end(self, program: str, *arguments: str) -> tuple[int, list[str]]:
        """Return the exit status of an example, and what it prints."""
        process = self.start(program, *arguments)
        return process.wait(), [line.rstrip("\n") for line in process.lines]

    def send(self, program: str, *arguments: str) -> None:
        """Run an example that sends, and has to tell so."""
        status, (line,) = self.run_to_its_end(program, *arguments)
        self.assertEqual((status, line[:5]), (0, "sent "))


def received(process: Process) -> list[str]:
    """Return the messages that it has printed."""
    lines = [line.rstrip("\n").partition(" ") for line in process.lines]
    return [text for word, _, text in lines if word == "received"]
