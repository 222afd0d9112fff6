"""What a destination means to a broker."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from netdemo.address import ExchangeDestination, QueueDestination
from netdemo.amqp.destination import Target, source, target
from netdemo.amqp.topology import Binding, Exchange, Queue, Topology

OURS = QueueDestination("log")
EXISTING = QueueDestination("log", declare=False)
LOGS = ExchangeDestination("logs", "info")


class TargetTests(SynchronousTestCase):
    """Where messages for a destination go."""

    def test_queue_is_declared_durable_and_reached_through_the_default_exchange(self) -> None:
        topology = Topology(queues=(Queue("log", durable=True),))
        self.assertEqual(Target(topology, "", "log", mandatory=True), target(OURS))

    def test_existing_queue_is_reached_without_any_declaration(self) -> None:
        self.assertEqual(Target(Topology(), "", "log", mandatory=True), target(EXISTING))

    def test_exchange_must_exist_and_need_not_have_listeners(self) -> None:
        topology = Topology(exchanges=(Exchange("logs", passive=True),))
        self.assertEqual(Target(topology, "logs", "info", mandatory=False), target(LOGS))


class SourceTests(SynchronousTestCase):
    """Where a destination's messages are consumed from."""

    def test_queue_is_declared_as_for_sending(self) -> None:
        self.assertEqual(target(OURS).topology, source(OURS).topology)

    def test_queue_is_consumed_by_its_name(self) -> None:
        self.assertEqual("log", source(OURS).queue)

    def test_existing_queue_is_only_asked_for(self) -> None:
        self.assertEqual(Topology(queues=(Queue("log", passive=True),)), source(EXISTING).topology)

    def test_exchange_gets_a_queue_of_its_own_bound_with_the_key(self) -> None:
        come_from = source(LOGS)
        self.assertEqual(
            Topology(
                exchanges=(Exchange("logs", passive=True),),
                queues=(Queue(come_from.queue, durable=False, exclusive=True),),
                bindings=(Binding("logs", come_from.queue, "info"),),
            ),
            come_from.topology,
        )

    def test_two_sources_of_an_exchange_have_different_queues(self) -> None:
        self.assertNotEqual(source(LOGS).queue, source(LOGS).queue)
