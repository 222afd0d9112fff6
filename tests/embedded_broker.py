"""Our broker in the reactor of the tests, on a free port and with its store on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet import reactor

from netdemo.broker.server import BrokerService, broker_service
from tests.folders import temporary_folder
from tests.rabbitmq import free_ports
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class EmbeddedBrokerTestCase(TidyTestCase):
    """A test with a broker of its own, at `url`."""

    timeout = 60

    def setUp(self) -> None:
        self.store = temporary_folder(self)
        (self.port,) = free_ports(1)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.start_broker()
        self.addCleanup(self.stop_broker)

    def start_broker(self) -> None:
        """Start the broker, with what is in its store."""
        endpoint = f"tcp:{self.port}:interface=127.0.0.1"
        self.service: BrokerService = broker_service([endpoint], reactor, store=self.store)
        self.service.startService()

    def stop_broker(self) -> Deferred[None]:
        """Stop the broker."""
        return self.service.stopService()
