"""The README and docs/embedding.md are true: blocks and programs are run as they are printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast
from unittest import SkipTest

import pytest
from twisted.application.service import IServiceCollection
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from netdemo.amqp import AMQPClient
from netdemo.poetry import PoetryFactory
from tests.folders import temporary_folder
from tests.rabbitmq import EMBEDDED_PORT, RabbitMQTestCase, is_free

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
EMBEDDING = ROOT / "docs" / "embedding.md"
TIMEOUT = 300


def blocks(language: str, file: Path = README) -> list[str]:
    """Return the blocks of a file in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", file.read_text(), re.MULTILINE | re.DOTALL)


class MainJob(TestCase):
    """The first command, in a copy of the tree.

    Programs that change the machine, to install packages, are stood in for by some that do
    nothing: the tests have done their part.
    """

    timeout = TIMEOUT

    def work(self, **environment: str) -> None:
        """Run it, with more in the environment."""
        tree = temporary_folder(self) / "netdemo"
        ignored = shutil.ignore_patterns(".git", ".venv", "_trial_temp*", "*_cache", ".hypothesis")
        shutil.copytree(ROOT, tree, ignore=ignored)
        nothing = temporary_folder(self)
        for name in ("apt-get", "sudo"):
            (nothing / name).write_text("#!/bin/sh\n")
            (nothing / name).chmod(0o755)
        done = subprocess.run(
            ["sh", "-c", blocks("sh")[0]],
            cwd=tree,
            env={**os.environ, "PATH": f"{nothing}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("lines went through the broker and came back", done.stdout)


class MainJobTests(MainJob):
    """It, with the broker that the bridge brings along."""

    def test_works_as_printed(self) -> None:
        if not is_free(EMBEDDED_PORT):
            raise SkipTest(f"something listens on port {EMBEDDED_PORT} of this machine")
        self.work(NETDEMO_BROKER="")


@pytest.mark.rabbitmq
class MainJobOnRabbitMQTests(RabbitMQTestCase, MainJob):
    """It, with the tests' own RabbitMQ."""

    timeout = TIMEOUT

    def test_works_as_printed(self) -> None:
        self.work(NETDEMO_BROKER=self.node.url)


class TestCommandTests(TestCase):
    """The second command."""

    def test_is_what_the_checks_run(self) -> None:
        shown = subprocess.run(
            ["sh", ROOT / ".ci" / "readme", "tests"], capture_output=True, text=True, check=True
        )
        self.assertEqual(shown.stdout, blocks("sh")[1])
        self.assertIn(".venv/bin/pytest", shown.stdout)
        self.assertIn("sh .ci/readme tests", (ROOT / ".ci" / "run").read_text())

    def test_there_is_no_other_shell_block(self) -> None:
        self.assertEqual(len(blocks("sh")), 2)


class LinkTests(TestCase):
    """The pages and each other."""

    def test_each_leads_to_a_file(self) -> None:
        pages = [README, *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]
        links = [
            (page.parent / link.partition("#")[0])
            for page in pages
            for link in re.findall(r"\]\(([^)]+)\)", page.read_text())
            if "://" not in link
        ]
        self.assertGreater(len(links), len(pages))
        self.assertEqual([link for link in links if not link.exists()], [])


class ServiceProgramTests(TestCase):
    """The program that embeds a service."""

    def test_builds_an_application(self) -> None:
        names: dict[str, Any] = {}
        exec(blocks("python", EMBEDDING)[0], names)
        (service,) = IServiceCollection(names["application"])
        (listening,) = service
        self.assertEqual(listening.name, "tcp:1234:interface=127.0.0.1")


class DownloadProgramTests(TestCase):
    """The program that downloads a poem."""

    async def test_prints_the_poem_and_writes_it_to_a_file(self) -> None:
        folder = temporary_folder(self)
        (folder / "poem").write_bytes(b"so much depends upon")
        server: Any = PoetryFactory(folder / "poem", cast("Any", reactor))
        port: Any = cast("Any", reactor).listenTCP(0, server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        printed: list[object] = []
        program = blocks("python", EMBEDDING)[1]
        for shown, ours in (
            ("127.0.0.1:9000", f"127.0.0.1:{port.getHost().port}"),
            ("poem.txt", f"{folder}/poem.txt"),
        ):
            self.assertIn(shown, program)
            program = program.replace(shown, ours)
        names: dict[str, Any] = {"print": lambda *words: printed.extend(words)}
        exec(program, names)
        await names["read"](reactor)
        self.assertEqual(printed, [b"so much depends upon", 20, "bytes"])
        self.assertEqual((folder / "poem.txt").read_bytes(), b"so much depends upon")
        await server.when_empty()


@pytest.mark.rabbitmq
class ClientProgramTests(RabbitMQTestCase):
    """The program that publishes and consumes."""

    async def test_prints_what_it_publishes(self) -> None:
        printed: Deferred[bytes] = Deferred()
        clients: list[AMQPClient] = []

        def remembered(urls: list[str], reactor: Any) -> AMQPClient:
            self.assertEqual(urls, ["amqp://guest:guest@127.0.0.1:5672/"])
            clients.append(AMQPClient([self.node.url], reactor))
            return clients[0]

        program = blocks("python", EMBEDDING)[2].replace("AMQPClient(", "remembered(")
        names: dict[str, Any] = {"remembered": remembered, "print": printed.callback}
        exec(program, names)
        await names["work"](reactor)
        self.assertEqual(await printed, b"do it")
        await clients[0].stopService()
