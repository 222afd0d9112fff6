"""The broker, the bridge and the network between them break under load, and no record is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.bridge_faults import FaultRun, Faults
from tests.broker_process import MISTAKE, BrokerProcess
from tests.folders import temporary_folder
from tests.rabbitmq import RabbitMQTestCase

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rabbitmq import RabbitMQNode

RECORDS = 20_000


async def carry(node: RabbitMQNode | BrokerProcess, folder: Path, *options: str) -> None:
    """Carry the records while each fault happens once or twice.

    ``python -m tests.bridge_faults`` has as many as wanted.
    """
    run = FaultRun(reactor, node, folder, RECORDS, *options)
    await run.run(Faults(broker_kills=1, bridge_kills=1, cuts=2))
    print(run.figures())
    run.check()


class FaultTests(RabbitMQTestCase):
    """With RabbitMQ."""

    timeout = 300

    async def test_each_record_arrives_and_duplicates_are_known_by_their_id(self) -> None:
        await carry(self.node, temporary_folder(self))

    async def test_so_it_is_with_a_spool(self) -> None:
        folder = temporary_folder(self)
        await carry(self.node, folder, f"--spool={folder / 'spool'}")


class FaultsOfOurBrokerTests(TestCase):
    """With our broker, which has a store."""

    timeout = 300

    async def test_each_record_arrives_and_duplicates_are_known_by_their_id(self) -> None:
        folder = temporary_folder(self)
        broker = BrokerProcess(folder, stored=True)
        self.addCleanup(broker.kill)
        broker.start()
        await carry(broker, folder, f"--spool={folder / 'spool'}")
        broker.kill()
        mistakes = [line for line in broker.lines if MISTAKE in line or "Traceback" in line]
        self.assertEqual([], mistakes)
