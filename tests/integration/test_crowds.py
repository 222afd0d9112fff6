"""Many clients of a bridge on both brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import crowd_behaviours
from tests.broker_process import BrokerProcessTestCase
from tests.rabbitmq_clients import ClientOnRabbitMQTestCase
from tests.ready_clients import ReadyClientTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class BrokerClientTestCase(BrokerProcessTestCase, ReadyClientTestCase):
    """A client that is ready on a broker of ours in a process of its own."""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        BrokerProcessTestCase.setUp(self)
        self.url = self.broker.url
        return ReadyClientTestCase.setUp(self)


class PullOnRabbitMQTests(crowd_behaviours.PullCrowds, ClientOnRabbitMQTestCase):
    """Pull clients on RabbitMQ."""


class PullOnBrokerTests(crowd_behaviours.PullCrowds, BrokerClientTestCase):
    """Pull clients on our broker."""


class SubscribeOnRabbitMQTests(crowd_behaviours.SubscribeCrowds, ClientOnRabbitMQTestCase):
    """Subscribers on RabbitMQ."""


class SubscribeOnBrokerTests(crowd_behaviours.SubscribeCrowds, BrokerClientTestCase):
    """Subscribers on our broker."""
