"""`netdemo.amqp.publisher`: one true outcome for each message, whatever the broker answers."""

from __future__ import annotations

from pika import BasicProperties, spec
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from netdemo.amqp.interfaces import IChannelUser
from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.topology import Queue, Topology
from netdemo.amqp.window import Window
from netdemo.errors import (
    ChannelClosed,
    ChannelLost,
    ConnectionClosed,
    NackedError,
    NotSentError,
    OutcomeUnknownError,
    UnroutableError,
)
from tests.peer import PeerTestCase
from tests.publishing import Publishing

LOST = ChannelLost("connection lost")
NO_EXCHANGE = ChannelClosed("NOT_FOUND - no exchange 'x' in vhost '/'", 404)


class OutcomeTests(PeerTestCase):
    """What the broker answers is what `publish` fires with."""

    def setUp(self) -> None:
        self.on = Publishing()

    def test_provides_its_interface(self) -> None:
        verifyObject(IChannelUser, self.on.publisher)

    def test_message_is_persistent_mandatory_and_identified_by_default(self) -> None:
        done = self.on.publisher.publish(Message(b"x"), "e", "k")
        publish, header, body = self.on.peer.received()
        self.assertEqual((publish.method.exchange, publish.method.routing_key), ("e", "k"))
        self.assertTrue(publish.method.mandatory)
        self.assertEqual(header.properties.delivery_mode, 2)
        self.assertTrue(header.properties.message_id)
        self.assertEqual(body.fragment, b"x")
        self.assertNoResult(done)

    def test_acked_is_success(self) -> None:
        done = self.on.publish()
        self.on.ack(1)
        self.successResultOf(done)

    def test_multiple_ack_confirms_all_up_to_its_tag(self) -> None:
        done = [self.on.publish() for _ in range(4)]
        self.on.ack(3, multiple=True)
        for each in done[:3]:
            self.successResultOf(each)
        self.assertNoResult(done[3])

    def test_multiple_ack_whose_own_tag_was_acked_before_confirms_those_below(self) -> None:
        done = [self.on.publish() for _ in range(3)]
        self.on.ack(3)
        self.on.ack(3, multiple=True)
        for each in done:
            self.successResultOf(each)

    def test_ack_of_an_unknown_tag_is_nothing(self) -> None:
        done = self.on.publish()
        self.on.ack(2)
        self.assertNoResult(done)

    def test_nacked_is_an_error_with_the_message(self) -> None:
        done = self.on.publish(b"x")
        self.on.nack(1)
        self.assertEqual(self.failureResultOf(done, NackedError).value.message.body, b"x")

    def test_returned_and_acked_is_unroutable(self) -> None:
        done = self.on.publish(b"x")
        self.on.give_back(b"x")
        self.assertNoResult(done)
        self.on.ack(1)
        error = self.failureResultOf(done, UnroutableError).value
        self.assertEqual((error.reply_code, error.reply_text), (312, "NO_ROUTE"))
        self.assertEqual(error.message.body, b"x")

    def test_returns_are_told_apart_within_one_multiple_ack(self) -> None:
        done = [self.on.publish(body) for body in (b"a", b"b", b"c", b"d")]
        self.on.give_back(b"b")
        self.on.give_back(b"c")
        self.on.ack(4, multiple=True)
        self.successResultOf(done[0])
        self.failureResultOf(done[1], UnroutableError)
        self.failureResultOf(done[2], UnroutableError)
        self.successResultOf(done[3])

    def test_returns_of_the_same_id_go_by_routing_key_and_then_by_order(self) -> None:
        done = [self.on.publish(b"a", key) for key in ("here", "gone", "gone")]
        self.on.give_back(b"a", "gone")
        self.on.ack(2, multiple=True)
        self.successResultOf(done[0])
        self.failureResultOf(done[1], UnroutableError)
        self.on.ack(3)
        self.successResultOf(done[2])

    def test_returns_of_the_same_id_and_key_go_by_the_rest_of_the_message(self) -> None:
        messages = [
            Message(b"x", headers={"go": go}, message_id=None) for go in ("yes", "no", "yes")
        ]
        done = [self.on.publisher.publish(each, "headers", "") for each in messages]
        self.on.peer.send_content(
            spec.Basic.Return(312, "NO_ROUTE", "headers", ""),
            BasicProperties(headers={"go": "no"}, delivery_mode=2),
            b"x",
        )
        self.on.ack(3, multiple=True)
        self.successResultOf(done[0])
        self.failureResultOf(done[1], UnroutableError)
        self.successResultOf(done[2])

    def test_headers_that_fill_more_than_a_frame_fail_alone(self) -> None:
        bad = self.on.publisher.publish(Message(b"x", headers={"h": "x" * 131072}), "", "q")
        self.assertIn("a frame of", str(self.failureResultOf(bad, NotSentError).value))
        self.assertEqual(self.on.peer.received(), [])
        good = self.on.publish(b"good")
        self.on.ack(1)
        self.successResultOf(good)

    def test_what_cannot_be_encoded_fails_alone(self) -> None:
        bad = self.on.publish(b"bad", "k" * 256)
        self.failureResultOf(bad, NotSentError)
        good = self.on.publish(b"good")
        self.on.ack(1)
        self.successResultOf(good)

    def test_unroutable_message_has_the_topology_declared_again(self) -> None:
        on = Publishing(Publisher(Topology(queues=(Queue("q"),))))
        done = on.publish(b"x")
        on.peer.received()
        on.give_back(b"x")
        on.ack(1)
        self.failureResultOf(done, UnroutableError)
        self.assertEqual(on.peer.expect(spec.Queue.Declare).queue, "q")


class WindowedTests(PeerTestCase):
    """Never more than the window is unconfirmed."""

    def test_the_rest_waits_in_order(self) -> None:
        on = Publishing(Publisher(window=Window(messages=2)))
        done = [on.publish(body) for body in (b"a", b"b", b"c", b"d")]
        self.assertEqual(on.sent(), [b"a", b"b"])
        on.ack(1)
        self.assertEqual(on.sent(), [b"c"])
        on.ack(3, multiple=True)
        self.assertEqual(on.sent(), [b"d"])
        on.ack(4)
        for each in done:
            self.successResultOf(each)

    def test_bytes_count_too(self) -> None:
        on = Publishing(Publisher(window=Window(size=10)))
        done = [on.publish(b"x" * 10), on.publish(b"y")]
        self.assertEqual(on.sent(), [b"x" * 10])
        on.ack(1)
        self.assertEqual(on.sent(), [b"y"])
        on.ack(2)
        for each in done:
            self.successResultOf(each)

    def test_who_waits_for_room_may_publish_when_another_is_refused(self) -> None:
        window = Window(messages=1)
        on = Publishing(Publisher(window=window))
        first = on.publish(b"first")
        later: dict[str, Deferred[None]] = {}

        def publish_when_there_is_room(key: str) -> None:
            def publish(_: None) -> None:
                later[key] = on.publish(b"x", key)

            window.when_room().addCallback(publish)

        publish_when_there_is_room("k" * 256)  # which the codec refuses
        publish_when_there_is_room("good")
        publish_when_there_is_room("more")
        on.ack(1)
        self.successResultOf(first)
        self.failureResultOf(later["k" * 256], NotSentError)
        on.ack(2)
        self.successResultOf(later["good"])
        on.ack(3)
        self.successResultOf(later["more"])
        self.assertEqual((window.messages, window.size), (0, 0))

    def test_cancelled_while_it_waits_is_never_sent(self) -> None:
        on = Publishing(Publisher(window=Window(messages=1)))
        first, second, third = (on.publish(body) for body in (b"a", b"b", b"c"))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        on.ack(1)
        self.assertEqual(on.sent(), [b"a", b"c"])
        on.ack(2)
        self.successResultOf(first)
        self.successResultOf(third)

    def test_cancelled_while_it_waits_is_waited_for_no_more(self) -> None:
        publisher = Publisher()
        done = publisher.publish(Message(b"x"), "", "q")
        drained = publisher.drain()
        self.assertNoResult(drained)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.successResultOf(drained)

    def test_cancelled_under_way_gives_up_the_outcome_alone(self) -> None:
        on = Publishing()
        first, second = on.publish(b"a"), on.publish(b"b")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        on.ack(2, multiple=True)
        self.successResultOf(second)


class LossTests(PeerTestCase):
    """What has no outcome when the channel ends."""

    def setUp(self) -> None:
        self.on = Publishing()

    def test_lost_connection_publishes_again_in_order_with_the_same_ids(self) -> None:
        done = [self.on.publish(body) for body in (b"a", b"b", b"c")]
        self.on.ack(1)
        self.on.sent()
        self.on.publisher.detach(LOST)
        self.on.attach()
        frames = self.on.peer.received()
        self.assertEqual([f.fragment for f in frames if f.NAME == "Body"], [b"b", b"c"])
        ids = [f.properties.message_id for f in frames if f.NAME == "Header"]
        self.assertEqual(ids, ["b", "c"])
        self.on.ack(2, multiple=True)
        for each in done:
            self.successResultOf(each)

    def test_published_meanwhile_goes_after_what_was_under_way(self) -> None:
        done = [self.on.publish(b"a")]
        self.on.sent()
        self.on.publisher.detach(LOST)
        done.append(self.on.publish(b"b"))
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"a", b"b"])
        self.on.ack(2, multiple=True)
        for each in done:
            self.successResultOf(each)

    def test_return_before_the_loss_is_forgotten(self) -> None:
        done = self.on.publish(b"a")
        self.on.give_back(b"a")
        self.on.sent()
        self.on.publisher.detach(LOST)
        self.on.attach()
        self.on.ack(1)
        self.successResultOf(done)

    def test_cancelled_under_way_is_not_published_again(self) -> None:
        done = self.on.publish(b"a")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.on.sent()
        self.on.publisher.detach(LOST)
        self.on.attach()
        self.assertEqual(self.on.sent(), [])

    def test_message_that_closes_the_channel_alone_is_not_sent(self) -> None:
        done = self.on.publish(b"a")
        self.on.publisher.detach(NO_EXCHANGE)
        error = self.failureResultOf(done, NotSentError).value
        self.assertEqual(error.reply_code, 404)
        self.assertEqual(error.reply_text, NO_EXCHANGE.reply_text)

    def test_among_several_the_guilty_one_is_found_one_at_a_time(self) -> None:
        good, bad, late = (self.on.publish(body) for body in (b"good", b"bad", b"late"))
        self.on.sent()
        self.on.publisher.detach(NO_EXCHANGE)
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"good"])
        self.on.ack(1)
        self.successResultOf(good)
        self.assertEqual(self.on.sent(), [b"bad"])
        self.on.publisher.detach(NO_EXCHANGE)
        self.failureResultOf(bad, NotSentError)
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"late"])
        self.on.ack(1)
        self.successResultOf(late)

    def test_cancelled_suspect_holds_nothing_up(self) -> None:
        suspects = [self.on.publish(b"a"), self.on.publish(b"b")]
        self.on.sent()
        self.on.publisher.detach(NO_EXCHANGE)
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"a"])
        suspects[0].cancel()
        self.failureResultOf(suspects[0], CancelledError)
        self.on.publisher.detach(LOST)
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"b"])
        self.on.ack(1)
        self.successResultOf(suspects[1])
        for body in (b"c", b"d"):
            self.assertNoResult(self.on.publish(body))
        self.assertEqual(self.on.sent(), [b"c", b"d"])

    def test_channel_closed_for_a_declaration_blames_no_message(self) -> None:
        self.on = Publishing(Publisher(Topology(queues=(Queue("q"),))))
        returned, other = self.on.publish(b"returned"), self.on.publish(b"other")
        channel = self.on.channel
        self.on.give_back(b"returned")
        self.on.ack(1)
        self.failureResultOf(returned, UnroutableError)
        other_kind = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q'"
        self.on.peer.send(spec.Channel.Close(406, other_kind, 50, 10), channel=1)
        self.on.publisher.detach(self.successResultOf(channel.closed))
        self.assertNoResult(other)
        self.on.sent()
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"other"])
        self.on.ack(1)
        self.successResultOf(other)

    def test_when_the_suspects_are_done_the_window_is_whole_again(self) -> None:
        done = [self.on.publish(b"a"), self.on.publish(b"b")]
        self.on.sent()
        self.on.publisher.detach(NO_EXCHANGE)
        done += [self.on.publish(b"c"), self.on.publish(b"d")]
        self.on.attach()
        self.on.ack(1)
        self.on.ack(2)
        self.assertEqual(self.on.sent(), [b"a", b"b", b"c", b"d"])
        self.on.ack(4, multiple=True)
        for each in done:
            self.successResultOf(each)


class StoppingTests(PeerTestCase):
    """`drain` and `give_up`."""

    def test_drained_when_everything_is_done(self) -> None:
        on = Publishing(Publisher(window=Window(messages=1)))
        done = [on.publish(b"a"), on.publish(b"b")]
        drained = on.publisher.drain()
        on.ack(1)
        self.assertNoResult(drained)
        on.ack(2)
        self.successResultOf(drained)
        for each in done:
            self.successResultOf(each)

    def test_given_up_tells_what_was_sent_from_what_was_not(self) -> None:
        on = Publishing(Publisher(window=Window(messages=1)))
        sent, waiting = on.publish(b"a"), on.publish(b"b")
        on.publisher.give_up(ConnectionClosed("stopped"))
        self.failureResultOf(sent, OutcomeUnknownError)
        self.failureResultOf(waiting, NotSentError)

    def test_given_up_takes_nothing_more(self) -> None:
        on = Publishing()
        on.publisher.give_up(ConnectionClosed("stopped"))
        error = self.failureResultOf(on.publish(b"a"), NotSentError).value
        self.assertEqual(error.reply_text, "stopped")

    def test_started_again_publishes(self) -> None:
        on = Publishing()
        self.failureResultOf(_given_up(on, on.publish(b"a")), OutcomeUnknownError)
        on.publisher.detach(LOST)
        on.sent()
        on.publisher.start()
        on.attach()
        done = on.publish(b"b")
        self.assertEqual(on.sent(), [b"b"])
        on.ack(1)
        self.successResultOf(done)


def _given_up(on: Publishing, done: Deferred[None]) -> Deferred[None]:
    on.publisher.give_up(ConnectionClosed("stopped"))
    return done
