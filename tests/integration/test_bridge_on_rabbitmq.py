"""The bridge on a real RabbitMQ."""

from __future__ import annotations

import pytest

from tests import bridge_behaviours
from tests.rabbitmq import RabbitMQTestCase


@pytest.mark.rabbitmq
class BridgeOnRabbitMQTestCase(RabbitMQTestCase, bridge_behaviours.BridgeTestCase):
    """A bridge to the tests' own node."""

    def setUp(self) -> None:
        RabbitMQTestCase.setUp(self)
        self.url = self.node.url
        bridge_behaviours.BridgeTestCase.setUp(self)

    def freeze_broker(self) -> None:
        self.addCleanup(self.node.thaw)
        self.node.freeze()


class NetstringTests(bridge_behaviours.Netstrings, BridgeOnRabbitMQTestCase):
    """Push and pull in netstrings."""


class Int32Tests(bridge_behaviours.Int32s, BridgeOnRabbitMQTestCase):
    """Push and pull with lengths of 32 bits."""


class ConnectingTests(bridge_behaviours.Connecting, BridgeOnRabbitMQTestCase):
    """The bridge connects."""


class CertificateTests(bridge_behaviours.Certificates, BridgeOnRabbitMQTestCase):
    """A push route with ``mtls:``."""


class CertificatesToPullTests(bridge_behaviours.CertificatesToPull, BridgeOnRabbitMQTestCase):
    """A pull route with ``mtls:``."""


class StoppingTests(bridge_behaviours.Stopping, BridgeOnRabbitMQTestCase):
    """SIGTERM with records in flight."""
