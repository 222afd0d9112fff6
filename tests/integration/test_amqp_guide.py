"""docs/amqp.md is true: its programs are run as they are printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceCollection
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue

from netdemo.amqp import AMQPClient, Delivery, Message, Queue, Topology
from tests.folders import temporary_folder
from tests.processes import Process
from tests.rabbitmq import RabbitMQTestCase

GUIDE = (Path(__file__).parents[2] / "docs" / "amqp.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


class Lines:
    """A producer that writes two lines when it is registered, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stopProducing(self) -> None:
        self.told.append("stop")

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")


@pytest.mark.rabbitmq
class ProgramTests(RabbitMQTestCase):
    """Each program of the guide, on a real RabbitMQ."""

    async def client(self) -> AMQPClient:
        """Return a client that is ready."""
        client = AMQPClient([self.node.url], reactor)
        self.addCleanup(client.stopService)
        client.startService()
        await client.when_ready()
        return client

    def test_there_are_five(self) -> None:
        self.assertEqual(len(PROGRAMS), 5)

    async def test_application_works(self) -> None:
        url = "amqp://guest:guest@127.0.0.1:5672/"
        self.assertIn(url, PROGRAMS[0])
        names: dict[str, Any] = {}
        exec(PROGRAMS[0].replace(url, self.node.url), names)
        (service,) = IServiceCollection(names["application"])
        self.addCleanup(service.stopService)
        service.startService()
        await names["consuming"]
        ours = await self.client()
        results: DeferredQueue[Delivery] = DeferredQueue()
        await ours.consume("results", results.put)
        await ours.publish(Message(b"abc"), routing_key="tasks")
        self.assertEqual((await results.get()).message.body, b"cba")

    async def test_topology_is_declared(self) -> None:
        names: dict[str, Any] = {}
        exec(PROGRAMS[1], names)
        ours = await self.client()
        await names["declare"](ours)
        critical: Deferred[Delivery] = Deferred()
        await ours.consume("critical", critical.callback)
        await ours.publish(Message(b"x"), exchange="logs", routing_key="kern.critical")
        self.assertEqual((await critical).message.body, b"x")

    async def test_writer_writes(self) -> None:
        names: dict[str, Any] = {}
        exec(PROGRAMS[2], names)
        ours = await self.client()
        await ours.declare(Topology(queues=(Queue("lines", durable=False, exclusive=True),)))
        writer = names["lines"](ours, Lines())
        for line in (b"one", b"two"):
            writer.write(line)
        self.assertEqual(await writer.finish(), 2)

    async def test_call_prints_the_reply(self) -> None:
        printed: list[bytes] = []
        names: dict[str, Any] = {"print": printed.append}
        exec(PROGRAMS[3], names)
        await names["call"](await self.client())
        self.assertEqual(printed, [b"haha"])

    async def test_script_sends(self) -> None:
        folder = temporary_folder(self)
        environment = {"NETDEMO_BROKER": self.node.url}
        script = Process(sys.executable, "-c", PROGRAMS[4], cwd=folder, environment=environment)
        self.addCleanup(script.remove)
        self.assertEqual((script.wait(), script.lines), (0, ["sent Hello, world!\n"]))
        ours = await self.client()
        received: Deferred[Delivery] = Deferred()
        await ours.consume("greetings", received.callback)
        self.assertEqual((await received).message.body, b"Hello, world!")
