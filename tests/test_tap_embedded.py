"""The broker that ``twistd amqp-bridge`` brings along."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.broker.server import BrokerService
from netdemo.errors import StartupError
from netdemo.tap import bridge
from netdemo.tap.embedded import EmbeddedBroker
from tests.test_tap import CommandTestCase


class Recorded(Service):
    """A service that notes what it is told, and stops when the test says so."""

    refusal: StartupError | None = None

    def __init__(self, name: str, events: list[str]) -> None:
        self.setName(name)
        self.events = events
        self.stopped: Deferred[None] = Deferred()

    def privilegedStartService(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.events.append(f"{self.name} listens")

    def startService(self) -> None:
        super().startService()
        self.events.append(f"{self.name} starts")

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.events.append(f"{self.name} stops")
        return self.stopped


class EmbeddedBrokerTests(SynchronousTestCase):
    """`EmbeddedBroker`."""

    def setUp(self) -> None:
        self.events: list[str] = []
        self.broker = Recorded("broker", self.events)
        self.others = Recorded("others", self.events)
        self.service = EmbeddedBroker(self.broker, self.others)

    def test_it_is_a_service(self) -> None:
        self.assertTrue(verifyObject(IService, self.service))

    def test_broker_starts_first(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        listening, starting = self.events[:2], self.events[2:]
        self.assertEqual(["broker listens", "others listens"], listening)
        self.assertEqual(["broker starts", "others starts"], starting)

    def test_broker_stops_when_the_others_have_stopped(self) -> None:
        self.service.startService()
        self.events.clear()
        stopping = self.service.stopService()
        self.assertEqual(["others stops"], self.events)
        self.others.stopped.callback(None)
        self.assertEqual(["others stops", "broker stops"], self.events)
        self.assertNoResult(stopping)
        self.broker.stopped.callback(None)
        self.successResultOf(stopping)
        self.assertFalse(self.service.running)

    def test_broker_stops_when_the_others_could_not(self) -> None:
        self.service.startService()
        stopping = self.service.stopService()
        self.others.stopped.errback(ZeroDivisionError())
        self.broker.stopped.callback(None)
        self.failureResultOf(stopping, ZeroDivisionError)

    def test_port_in_use_is_one_line_that_says_what_to_type(self) -> None:
        self.broker.refusal = StartupError("cannot listen on tcp:5672: Address already in use")
        refused = self.assertRaises(StartupError, self.service.privilegedStartService)
        self.assertEqual(
            "no broker is named, and its own cannot listen on tcp:5672: Address already in use; "
            "to use the one that is there: --broker amqp://127.0.0.1/",
            str(refused),
        )
        self.assertEqual([], self.events)


class BridgeTests(CommandTestCase):
    """What ``twistd amqp-bridge`` makes of its options."""

    command = bridge

    def test_without_a_broker_it_has_one_of_its_own(self) -> None:
        service: Any = self.service()
        self.assertIsInstance(service, EmbeddedBroker)
        broker, others = service
        self.assertIsInstance(broker, BrokerService)
        [listening] = broker
        self.assertEqual([bridge.BROKER_ENDPOINT], [port.endpoint for port in listening])
        client = others.getServiceNamed("amqp")
        self.assertEqual(["amqp://127.0.0.1:5672/"], [str(each) for each in client._brokers])

    def test_with_a_broker_it_has_none(self) -> None:
        service = self.service("--broker=amqp://mq.example")
        self.assertNotIsInstance(service, EmbeddedBroker)

    def test_only_without_routes_it_says_what_to_type(self) -> None:
        named = ("--broker=amqp://mq.example",)
        for arguments, expected in ((named, 1), ((*named, "--push=/queue/x@tcp:7001"), 0)):
            hints = [each for each in self.service(*arguments) if isinstance(each, bridge.Hint)]
            self.assertEqual(expected, len(hints), arguments)
