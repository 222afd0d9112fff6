"""`netdemo.bridge.consumers`: many consumers on one channel of a scripted peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import BasicProperties, spec
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from netdemo.amqp.destination import Source
from netdemo.amqp.interfaces import IChannelUser
from netdemo.amqp.topology import Topology
from netdemo.bridge.consumers import Consumers
from netdemo.errors import ChannelClosed, ChannelLost, ConsumerCancelled
from tests.peer import Peer, PeerTestCase

if TYPE_CHECKING:
    from netdemo.amqp.message import Message
    from netdemo.bridge.consumers import Taken


class Recorder:
    """A taker that keeps what it gets until it is cancelled, and gives it back then."""

    def __init__(self, consumers: Consumers) -> None:
        self.consumers = consumers
        self.taken: list[Taken] = []
        self.told: list[str] = []

    def deliver(self, message: Message, taken: Taken) -> None:  # noqa: ARG002
        self.taken.append(taken)

    def cancelled(self) -> None:
        """Give all back."""
        self.told.append("cancelled")
        taken, self.taken = self.taken, []
        self.consumers.give_back(taken)

    def detached(self) -> None:
        """Forget all."""
        self.told.append("detached")
        self.taken.clear()


class ConsumersTestCase(PeerTestCase):
    """Consumers with two takers, to whose requests a test agrees."""

    def setUp(self) -> None:
        self.peer = Peer().shake_hands()
        self.consumers = Consumers(Source(Topology(), "q"), 5, "pull")
        self.first, self.second = Recorder(self.consumers), Recorder(self.consumers)
        self.consumers.start()
        self.consumers.add(self.first)
        self.consumers.add(self.second)
        self.channel = self.peer.open_channel()
        self.attaching = Deferred.fromCoroutine(self.consumers.attach(self.channel))

    def agree(self) -> list[Any]:
        """Agree to what is asked, and note the tags of the consumers."""
        asked = self.peer.agree()
        self.tags = [each.consumer_tag for each in asked if isinstance(each, spec.Basic.Consume)]
        return asked

    def deliver(self, consumer_tag: str, tag: int, channel: int = 1) -> None:
        """Send one delivery."""
        method = spec.Basic.Deliver(consumer_tag, tag, False, "", "q")
        self.peer.send_content(method, BasicProperties(), b"body", channel=channel)

    def names(self) -> list[str]:
        """Return the names of the methods that were sent since this was asked last."""
        return [each.method.NAME for each in self.peer.received()]


class ConsumersTests(ConsumersTestCase):
    """Beginning, cancelling and giving back."""

    def test_provides_its_interface(self) -> None:
        verifyObject(IChannelUser, self.consumers)

    def test_prefetch_is_set_and_each_taker_consumed_for_one_at_a_time(self) -> None:
        self.assertEqual(self.peer.expect(spec.Basic.Qos).prefetch_count, 5)
        self.peer.send(spec.Basic.QosOk(), channel=1)
        consume = self.peer.expect(spec.Basic.Consume)
        self.assertEqual(self.peer.received(), [])
        self.peer.send(spec.Basic.ConsumeOk(consume.consumer_tag), channel=1)
        self.assertNoResult(self.attaching)
        self.agree()
        self.successResultOf(self.attaching)

    def test_each_taker_gets_its_own(self) -> None:
        self.agree()
        self.deliver(self.tags[0], 1)
        self.deliver(self.tags[1], 2)
        self.assertEqual(self.first.taken, [(self.channel, 1)])
        self.assertEqual(self.second.taken, [(self.channel, 2)])

    def test_acks_of_many_go_as_one(self) -> None:
        self.agree()
        for tag in (1, 2, 3):
            self.deliver(self.tags[0], tag)
        self.consumers.ack(self.first.taken)
        ack = self.peer.expect(spec.Basic.Ack)
        self.assertEqual((ack.delivery_tag, ack.multiple), (3, True))

    def test_nothing_goes_back_before_all_who_leave_are_cancelled(self) -> None:
        self.agree()
        self.deliver(self.tags[0], 1)
        for taker in (self.first, self.second):
            self.consumers.remove(taker)
        self.deliver(self.tags[1], 2)  # on its way before it was cancelled
        for tag in self.tags:
            self.assertEqual(self.peer.expect(spec.Basic.Cancel).consumer_tag, tag)
            self.assertEqual(self.names(), [])
            self.peer.send(spec.Basic.CancelOk(tag), channel=1)
        back = [each.method for each in self.peer.received()]
        self.assertEqual(
            [(each.delivery_tag, each.requeue) for each in back], [(1, True), (2, True)]
        )

    def test_those_who_leave_come_before_those_who_join(self) -> None:
        self.agree()
        joining = Recorder(self.consumers), Recorder(self.consumers)
        self.consumers.add(joining[0])
        self.consumers.add(joining[1])
        self.consumers.remove(self.first)
        self.assertEqual(
            [type(each) for each in self.agree()],
            [spec.Basic.Consume, spec.Basic.Cancel, spec.Basic.Consume],
        )

    def test_taker_that_leaves_while_the_broker_is_asked_is_cancelled(self) -> None:
        self.agree()
        third = Recorder(self.consumers)
        self.consumers.add(third)
        self.consumers.remove(third)
        names = [each.NAME for each in self.agree()]
        self.assertEqual(names, ["Basic.Consume", "Basic.Cancel"])
        self.assertEqual(third.told, ["cancelled"])

    def test_cancel_by_the_broker_ends_the_channel(self) -> None:
        self.agree()
        self.peer.send(spec.Basic.Cancel(self.tags[0]), channel=1)
        self.assertIn("Channel.Close", self.names())
        self.peer.send(spec.Channel.CloseOk(), channel=1)
        self.assertIsInstance(self.successResultOf(self.channel.closed), ConsumerCancelled)

    def test_refused_consumer_fails_the_attachment(self) -> None:
        self.peer.expect(spec.Basic.Qos)
        self.peer.send(spec.Basic.QosOk(), channel=1)
        self.peer.expect(spec.Basic.Consume)
        self.peer.send(spec.Channel.Close(403, "ACCESS_REFUSED", 60, 20), channel=1)
        self.assertEqual(self.failureResultOf(self.attaching, ChannelClosed).value.reply_code, 403)

    def test_old_channels_deliveries_are_answered_no_more(self) -> None:
        self.agree()
        self.deliver(self.tags[0], 1)
        taken = list(self.first.taken)
        self.consumers.remove(self.second)
        self.consumers.detach(ChannelLost("gone"))
        self.assertEqual((self.first.told, self.second.told), (["detached"], ["cancelled"]))
        self.names()
        channel = self.peer.open_channel()
        attaching = Deferred.fromCoroutine(self.consumers.attach(channel))
        names = [each.NAME for each in self.agree()]
        self.assertEqual(names, ["Basic.Qos", "Basic.Consume"])
        self.successResultOf(attaching)
        self.deliver(self.tags[0], 1, channel=2)
        self.consumers.ack(taken)
        self.consumers.give_back(taken)
        self.assertEqual(self.names(), [])


class DrainTests(ConsumersTestCase):
    """`Consumers.drain`."""

    def test_drained_when_all_in_hand_is_answered(self) -> None:
        self.agree()
        self.deliver(self.tags[0], 1)
        self.first.cancelled = lambda: None  # type: ignore[method-assign]
        drained = self.consumers.drain()
        self.agree()
        self.assertEqual(self.second.told, ["cancelled"])
        self.assertNoResult(drained)
        self.consumers.ack(self.first.taken)
        self.successResultOf(drained)

    def test_drained_at_once_without_a_channel(self) -> None:
        self.agree()
        self.consumers.detach(ChannelLost("gone"))
        self.successResultOf(self.consumers.drain())

    def test_begun_while_the_broker_is_asked_it_consumes_for_nobody(self) -> None:
        drained = self.consumers.drain()
        self.assertEqual([each.NAME for each in self.agree()], ["Basic.Qos"])
        self.successResultOf(drained)
        self.successResultOf(self.attaching)

    def test_nobody_who_comes_is_consumed_for_until_it_is_started_again(self) -> None:
        self.agree()
        self.consumers.drain()
        self.agree()
        self.consumers.add(Recorder(self.consumers))
        self.assertEqual(self.agree(), [])
        self.consumers.detach(ChannelLost("gone"))
        self.consumers.start()
        attaching = Deferred.fromCoroutine(self.consumers.attach(self.peer.open_channel()))
        self.assertEqual([each.NAME for each in self.agree()].count("Basic.Consume"), 3)
        self.successResultOf(attaching)
