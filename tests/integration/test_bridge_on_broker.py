"""The bridge on our own broker: the same as on RabbitMQ."""

from __future__ import annotations

import signal

from tests import bridge_behaviours
from tests.broker_process import BrokerProcess
from tests.folders import temporary_folder


class BridgeOnBrokerTestCase(bridge_behaviours.BridgeTestCase):
    """A bridge to a broker of the test's own."""

    timeout = 120

    def setUp(self) -> None:
        self.broker = BrokerProcess(temporary_folder(self), stored=True)
        self.url = self.broker.url
        self.addCleanup(self.broker.kill)
        self.broker.start()
        super().setUp()

    def freeze_broker(self) -> None:
        self.addCleanup(self.broker.signal, signal.SIGCONT)
        self.broker.signal(signal.SIGSTOP)


class NetstringTests(bridge_behaviours.Netstrings, BridgeOnBrokerTestCase):
    """Push and pull in netstrings."""


class Int32Tests(bridge_behaviours.Int32s, BridgeOnBrokerTestCase):
    """Push and pull with lengths of 32 bits."""


class ConnectingTests(bridge_behaviours.Connecting, BridgeOnBrokerTestCase):
    """The bridge connects."""


class CertificateTests(bridge_behaviours.Certificates, BridgeOnBrokerTestCase):
    """A push route with ``mtls:``."""


class CertificatesToPullTests(bridge_behaviours.CertificatesToPull, BridgeOnBrokerTestCase):
    """A pull route with ``mtls:``."""


class StoppingTests(bridge_behaviours.Stopping, BridgeOnBrokerTestCase):
    """SIGTERM with records in flight."""
