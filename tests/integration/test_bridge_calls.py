"""Call and serve routes on RabbitMQ and on our own broker."""

from __future__ import annotations

import pytest

from tests import bridge_calls
from tests.broker_process import BrokerProcess
from tests.folders import temporary_folder
from tests.rabbitmq import RabbitMQTestCase


@pytest.mark.rabbitmq
class OnRabbitMQTestCase(RabbitMQTestCase, bridge_calls.CallingTestCase):
    """On RabbitMQ."""

    def setUp(self) -> None:
        RabbitMQTestCase.setUp(self)
        bridge_calls.CallingTestCase.setUp(self)
        self.url = self.node.url


class OnBrokerTestCase(bridge_calls.CallingTestCase):
    """On our own broker, in a process of its own."""

    def setUp(self) -> None:
        super().setUp()
        broker = BrokerProcess(temporary_folder(self))
        self.addCleanup(broker.kill)
        broker.start()
        self.url = broker.url


class CallsOnRabbitMQTests(bridge_calls.Calls, OnRabbitMQTestCase):
    """Lines in at the call route come back from the server behind the serve route."""


class CallsOnBrokerTests(bridge_calls.Calls, OnBrokerTestCase):
    """Lines in at the call route come back from the server behind the serve route."""


class TimeoutsOnRabbitMQTests(bridge_calls.Timeouts, OnRabbitMQTestCase):
    """A server that does not answer each request."""


class TimeoutsOnBrokerTests(bridge_calls.Timeouts, OnBrokerTestCase):
    """A server that does not answer each request."""
