"""The bridge under load while everything about it breaks: ``python -m tests.bridge_faults``.

Records of a real text, with numbers, go in by a push route with answers and come out by a pull
route with acknowledgements, while the broker (RabbitMQ, or ours) and the bridge are killed with
SIGKILL and the network between them is cut. A record without an answer is sent again. Every record
must arrive, and what arrives more often than it was sent must bear the `message_id` of a copy
before it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from netdemo.amqp import AMQPClient, Binding, Consumer, Exchange, Queue, Topology
from tests.bridge_load import Copies, Peers, Puller, Sender, Text
from tests.bridge_process import BridgeProcess
from tests.broker_process import BrokerProcess
from tests.proxy import Proxy
from tests.rabbitmq import RabbitMQNode, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable


PATIENCE = 150.0
"""Seconds without any progress after which what has not arrived is missing."""

LOOPBACK = "127.0.0.1"


@attrs.define
class Faults:
    """How often what happens."""

    broker_kills: int = 10
    bridge_kills: int = 5
    cuts: int = 10

    def in_turn(self) -> list[str]:
        """Return what happens when, evenly mixed."""
        counts = {"broker": self.broker_kills, "bridge": self.bridge_kills, "cut": self.cuts}
        return [
            kind
            for _, kind in sorted(
                ((number + 0.5) / count, kind)
                for kind, count in counts.items()
                for number in range(count)
            )
        ]


class FaultRun:
    """A bridge to `node` through a proxy, with its files in `folder`."""

    def __init__(
        self,
        reactor: Any,
        node: RabbitMQNode | BrokerProcess,
        folder: Path,
        count: int,
        *options: str,
    ) -> None:
        self._reactor = reactor
        self._node = node
        self._proxy = Proxy(reactor, node.port)
        self._cuts = cycle((self._proxy.reset, self._proxy.stall, self._proxy.cut))
        self._waiting: tuple[Callable[[], bool], Deferred[None]] | None = None
        text = Text()
        self.sender = Sender(text, count, self._progress)
        self.puller = Puller(text, count, self._pulled)
        self.copies = Copies(count, self._progress)
        self.count = count
        self.happened: Counter[str] = Counter()
        self.name = f"faults-{os.getpid()}-{time.monotonic_ns()}"
        self._peers = [Peers(self.sender), Peers(self.puller)]
        self._ports = free_ports(3)
        endpoints = [f"tcp:{port}:interface={LOOPBACK}" for port in self._ports]
        self.bridge = BridgeProcess(
            folder,
            f"amqp://guest:guest@{LOOPBACK}:{self._ports[2]}/?heartbeat=5",
            f"--push=/exchange/{self.name}/@{endpoints[0]}",
            f"--pull=/amq/queue/{self.name}@{endpoints[1]}",
            *("--ack", "--prefetch=2000", *options),
        )

    async def run(self, faults: Faults) -> None:
        """Carry all records; return when each is acknowledged and has arrived twice."""
        client = AMQPClient([self._node.url], self._reactor)
        client.startService()
        await self._proxy.start(self._ports[2])
        try:
            await self._declare(client)
            await deferToThread(self.bridge.start)
            for port, factory in zip(self._ports, self._peers, strict=False):
                self._reactor.connectTCP(LOOPBACK, port, factory)
            await self._break(faults)
            await self._until(self._complete)
        finally:
            for factory in self._peers:
                factory.stopTrying()
            await deferToThread(self.bridge.kill)
            await client.stopService()
            await self._proxy.stop()

    async def _declare(self, client: AMQPClient) -> None:
        queues = (self.name, f"{self.name}-copies")
        await client.declare(
            Topology(
                (Exchange(self.name, "fanout"),),
                tuple(map(Queue, queues)),
                tuple(Binding(self.name, queue) for queue in queues),
            )
        )
        client.add(Consumer(queues[1], self.copies.see, prefetch=1000))
        if isinstance(self._node, RabbitMQNode):  # ours has it on disk before it says so
            await deferToThread(self._node.sync)

    async def _break(self, faults: Faults) -> None:
        """Have everything happen, when so many records are acknowledged."""
        kinds, begun = faults.in_turn(), time.monotonic()
        for number, kind in enumerate(kinds):
            goal = int(self.count * (number + 0.5) / len(kinds))
            await self._until(lambda goal=goal: self.sender.acknowledged >= goal)  # type: ignore[misc]
            if kind == "broker":
                await deferToThread(self._node.kill)
                await deferToThread(self._node.start)
            elif kind == "bridge":
                await deferToThread(self.bridge.kill)
                await deferToThread(self.bridge.start)
            else:
                next(self._cuts)()
            self.happened[kind] += 1
            print(f"{time.monotonic() - begun:.0f} s: {kind} at {self._marks()}", flush=True)

    def _complete(self) -> bool:
        return self.count == min(
            self.sender.acknowledged, self.puller.different, self.copies.different
        )

    def _marks(self) -> tuple[int, int, int]:
        return self.sender.acknowledged, self.puller.different, self.copies.different

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`.

        :raises AssertionError: when nothing moves any more.
        """
        before = None
        while not condition():
            if before == self._marks():
                raise AssertionError(f"of {self.count}, acknowledged, pulled, copied: {before}")
            before = self._marks()
            waiting: Deferred[None] = Deferred()
            self._waiting = condition, waiting
            try:
                await waiting.addTimeout(PATIENCE, self._reactor)
            except DeferredTimeout:
                pass
            finally:
                self._waiting = None

    def _pulled(self) -> None:
        self.sender.follow(self.puller.different)
        self._progress()

    def _progress(self) -> None:
        if self._waiting is not None:
            condition, waiting = self._waiting
            if condition() and not waiting.called:
                waiting.callback(None)

    def check(self) -> None:
        """See that nothing is missing, altered, or twice without a reason.

        :raises AssertionError: with what is wrong.
        """
        assert self._complete(), self._marks()
        assert not self.puller.strange, self.puller.strange[:10]
        more = self.copies.more_than(self.sender.sent_again)
        assert not more, f"{len(more)} have an id too many: {more[:10]}"
        mistakes = [
            line for line in self.bridge.lines if "Traceback" in line or "Unhandled" in line
        ]
        assert not mistakes, "".join(self.bridge.lines[-100:])

    def figures(self) -> str:
        """Tell what happened."""
        errors = ", ".join(f"{count} {code.decode()}" for code, count in self.sender.errors.items())
        again = sum(self.sender.sent_again.values())
        return (
            f"{self.count} records acknowledged and pulled; {dict(self.happened)}; "
            f"{again} sent again ({errors or 'no errors'}), {self.copies.sent_twice} of these "
            f"arrived twice; by the same id: {self.copies.repeats} copies; "
            f"{self.puller.repeats} seen again by the pull client"
        )


async def _run(reactor: Any, given: argparse.Namespace) -> None:
    folder = tempfile.TemporaryDirectory(prefix="netdemo-faults-")
    node: RabbitMQNode | BrokerProcess
    if given.ours:
        node = BrokerProcess(Path(folder.name), stored=True)
    else:
        node = RabbitMQNode(Path(folder.name))
    run = FaultRun(reactor, node, Path(folder.name), given.records, *given.option)
    remove = node.kill if isinstance(node, BrokerProcess) else node.remove
    for end in (run.bridge.kill, remove, folder.cleanup):  # after SIGTERM, too
        reactor.addSystemEventTrigger("after", "shutdown", end)
    await deferToThread(node.start)
    begun = time.monotonic()
    await run.run(Faults(given.broker_kills, given.bridge_kills, given.cuts))
    run.check()
    print(f"{run.figures()}; {time.monotonic() - begun:.0f} s")


def main(reactor: Any) -> Deferred[None]:
    """Break as much as the arguments say, and tell what became of the records."""
    options = argparse.ArgumentParser(prog="python -m tests.bridge_faults")
    options.add_argument("--records", type=int, default=1_000_000)
    options.add_argument("--broker-kills", type=int, default=10)
    options.add_argument("--bridge-kills", type=int, default=5)
    options.add_argument("--cuts", type=int, default=10)
    options.add_argument("--ours", action="store_true", help="our broker, not RabbitMQ")
    options.add_argument("--option", action="append", default=[], help="of the bridge")
    return Deferred.fromCoroutine(_run(reactor, options.parse_args()))


if __name__ == "__main__":
    react(main)
