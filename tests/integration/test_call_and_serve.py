"""``netdemo call`` and ``netdemo serve`` as real processes, on our own broker and on RabbitMQ."""

from __future__ import annotations

from tests import call_behaviours
from tests.broker_process import BrokerProcessTestCase
from tests.rabbitmq import RabbitMQTestCase


class BrokerTests(call_behaviours.Calls, BrokerProcessTestCase):
    """On our own broker."""

    def setUp(self) -> None:
        super().setUp()
        self.use_broker(self.broker.url)


class RabbitMQTests(call_behaviours.Calls, RabbitMQTestCase):
    """On RabbitMQ."""

    def setUp(self) -> None:
        super().setUp()
        self.use_broker(self.node.url)
