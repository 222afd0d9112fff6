"""A bridge with a spool that is killed with SIGKILL, again and again, while it is sent records."""

from __future__ import annotations

import random
import signal
import time
from threading import Timer

import pika
from twisted.trial.unittest import SynchronousTestCase

from tests.broker_process import BrokerProcess
from tests.folders import temporary_folder
from tests.rabbitmq import RabbitMQTestCase
from tests.spool_process import QUEUE, SpoolProcess

KILLS = 20
PATIENCE = 60.0


def fetch(url: str, wanted: set[int]) -> list[tuple[int, str]]:
    """Take messages from the queue until all `wanted` came; return what came, with its id."""
    came: list[tuple[int, str]] = []
    missing = set(wanted)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        end = time.monotonic() + PATIENCE
        for method, properties, body in channel.consume(QUEUE, inactivity_timeout=1.0):
            if method is not None and properties is not None and body is not None:
                came.append((int(body), str(properties.message_id)))
                missing.discard(int(body))
                channel.basic_ack(method.delivery_tag)
            elif not missing or time.monotonic() > end:
                break
        channel.cancel()
        channel.queue_delete(QUEUE)
    return came


class SpoolKill(SynchronousTestCase):
    """What was answered with OK arrives, and what comes twice has the same `message_id`."""

    timeout = 240

    def check_kills(self, url: str) -> None:
        """Kill a bridge while a client pushes; then look for what was accepted."""
        folder = temporary_folder(self)
        bridge = SpoolProcess(folder, url, "--ack")
        self.addCleanup(bridge.kill)
        accepted: set[int] = set()
        chance = random.Random(20)
        number = 0
        for _ in range(KILLS):
            bridge.start()
            killer = Timer(chance.uniform(0.05, 0.7), bridge.kill)
            killer.start()
            numbers = range(number, number + 30_000)
            accepted.update(bridge.push(numbers)[0])
            number = numbers.stop
            killer.join()
        bridge.start()
        came = fetch(url, accepted)
        self.assertGreater(len(accepted), KILLS * 100)
        self.assertEqual(set(), accepted - {each for each, _ in came})
        self.assertEqual(len({each for each, _ in came}), len(set(came)))
        self.assertEqual(-signal.SIGTERM, bridge.stop())
        self.assertEqual([], [line for line in bridge.lines if "Traceback" in line])


class SpoolKillOnBrokerTests(SpoolKill):
    """On our broker, with a store."""

    def test_what_was_accepted_arrives(self) -> None:
        broker = BrokerProcess(temporary_folder(self), stored=True)
        self.addCleanup(broker.kill)
        broker.start()
        self.check_kills(broker.url)


class SpoolKillOnRabbitMQTests(SpoolKill, RabbitMQTestCase):
    """On RabbitMQ."""

    def test_what_was_accepted_arrives(self) -> None:
        self.check_kills(self.node.url)


del SpoolKill
