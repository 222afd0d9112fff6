"""docs/commands.md is true: its commands are run as they are printed, on a real RabbitMQ."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.command_processes import CommandProcesses
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process, require
from tests.rabbitmq import RabbitMQTestCase, free_ports

GUIDE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
QUEUES = ("log", "events", "upper")
VARYING = (r"[0-9a-f]{32}-\d+", r"netdemo-doctor-\w+", r"\d+\.\d ms", r"RabbitMQ \S+")


def alike(text: str) -> str:
    """Return ``text`` without what differs from run to run."""
    return re.sub("|".join(VARYING), "…", text)


@pytest.mark.rabbitmq
class GuideTests(CommandProcesses, RabbitMQTestCase):
    """Each block: what is typed there prints what is printed there."""

    def setUp(self) -> None:
        super().setUp()
        self.use_broker(self.node.url)
        self.folder = temporary_folder(self)
        self.environment["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"
        self.addCleanup(self.delete_queues, *QUEUES)

    def typed(self, about: str, **other: str) -> list[tuple[str, str]]:
        """Return what is typed in the block ``about`` something, and what each prints.

        With ``other`` text in the place of some, a port that is free for example.
        """
        (block,) = (each for each in BLOCKS if about in each)
        for shown, ours in other.items():
            block = block.replace(shown.removeprefix("_"), ours)
        commands = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        return [(command, printed) for command, _, printed in (c.partition("\n") for c in commands)]

    def printed(self, command: str) -> str:
        """Run a command to its end; return what it prints, both streams together."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout

    def started(self, command: str) -> Process:
        """Start a command on a terminal, for those who say there that they are ready."""
        process = Process(
            *("script", "-qec", f"exec {command}", "/dev/null"),
            cwd=self.folder,
            environment=self.environment,
        )
        self.addCleanup(process.remove)
        return process

    def check(self, typed: list[tuple[str, str]]) -> None:
        """Run all; each prints what the guide says."""
        for command, expected in typed:
            printed = self.printed(command)
            self.assertEqual(alike(expected).rstrip("\n"), alike(printed).rstrip("\n"), command)

    def test_each_block_is_run_here(self) -> None:
        self.assertEqual(5, len(BLOCKS))
        self.assertEqual([], re.findall(r"^```(?:sh|bash)$", GUIDE, re.MULTILINE))

    def test_poems_of_two_servers_and_of_none(self) -> None:
        (port,) = free_ports(1)
        (self.folder / "poem").write_text("so much depends\n")
        server = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "poetry", "--file=poem"),
            f"--listen=tcp:{port}:interface=127.0.0.1",
            f"--listen=tcp6:{port}:interface=\\:\\:1",
            cwd=self.folder,
        )
        self.addCleanup(server.remove)
        for _ in range(2):
            server.wait_for(f"starting on {port}")
        self.check(self.typed("netdemo poetry", _9000=str(port)))

    def test_message_in_full(self) -> None:
        self.check(self.typed("--format json"))

    def test_commands_that_run_for_each_message(self) -> None:
        require("gzip")
        self.check(self.typed("/queue/events"))

    def test_filter_that_serves_calls(self) -> None:
        require("script")
        (serve, told), *calls = self.typed("/queue/upper")
        self.started(serve.removesuffix("&")).wait_for(told.rstrip("\n"))
        self.check(calls)

    def test_doctor_names_the_permission(self) -> None:
        self.node.control("add_user", "ann", "secret")
        self.addCleanup(self.node.control, "delete_user", "ann")
        self.node.control("set_permissions", "ann", ".*", "^$", ".*")
        ((command, expected),) = self.typed("netdemo doctor", _localhost="127.0.0.1")
        command = command.replace("127.0.0.1", f"127.0.0.1:{self.node.port}")
        printed = alike(self.printed(command)).replace(str(self.node.port), "5672")
        name, *steps = alike(expected).splitlines()
        self.assertEqual(name.split()[:2], printed.split()[:2])
        self.assertEqual(steps, printed.splitlines()[1:])
