"""`netdemo.amqp.publisher`: its options, and what it does with what waits too long."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from netdemo.amqp.message import Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.window import Window
from netdemo.errors import ChannelClosed, ChannelLost, NotSentError, OutcomeUnknownError
from tests.peer import PeerTestCase
from tests.publishing import Publishing

LOST = ChannelLost("connection lost")


class NotRepublishingTests(PeerTestCase):
    """Without `republish` nothing is sent twice."""

    def setUp(self) -> None:
        self.on = Publishing(Publisher(window=Window(2), republish=False))

    def test_what_was_under_way_is_unknown_when_the_connection_is_lost(self) -> None:
        done = [self.on.publish(b"%d" % number) for number in range(3)]
        self.on.sent()
        self.on.publisher.detach(LOST)
        for number in range(2):
            error = self.failureResultOf(done[number], OutcomeUnknownError).value
            self.assertEqual(error.message.body, b"%d" % number)
            self.assertEqual(str(error), "connection lost")
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"2"])
        self.on.ack(1)
        self.successResultOf(done[2])

    def test_what_is_published_by_who_was_told_goes_on_the_next_channel(self) -> None:
        done = self.on.publish(b"0")
        again = done.addErrback(lambda _: self.on.publish(b"1"))
        self.on.publisher.detach(LOST)
        self.on.sent()
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"1"])
        self.on.ack(1)
        self.successResultOf(again)

    def test_so_it_is_when_the_channel_is_closed_for_one_of_several(self) -> None:
        done = [self.on.publish(b"%d" % number) for number in range(2)]
        self.on.sent()
        self.on.publisher.detach(ChannelClosed("NOT_FOUND - no exchange", 404))
        for each in done:
            error = self.failureResultOf(each, OutcomeUnknownError).value
            self.assertEqual(error.reply_code, 404)
        self.on.attach()
        self.assertEqual(self.on.sent(), [])

    def test_one_that_costs_the_channel_alone_was_not_sent(self) -> None:
        done = self.on.publish(b"0")
        self.on.publisher.detach(ChannelClosed("NOT_FOUND - no exchange", 404))
        self.failureResultOf(done, NotSentError)


class BacklogTests(PeerTestCase):
    """What waits has a limit in messages, and one in bytes."""

    def setUp(self) -> None:
        self.publisher = Publisher(window=Window(1), backlog=Window(3, 10))

    def test_a_message_beyond_it_is_not_sent(self) -> None:
        on = Publishing(self.publisher)
        done = [on.publish(b"%d" % number) for number in range(5)]
        error = self.failureResultOf(done[4], NotSentError).value
        self.assertEqual(str(error), "3 messages of 3 bytes wait before it")
        for tag in range(1, 5):
            on.ack(tag)
            self.successResultOf(done[tag - 1])

    def test_bytes_count_too(self) -> None:
        done = [self.publisher.publish(Message(bytes(5))) for _ in range(3)]
        self.failureResultOf(done[2], NotSentError)
        self.assertNoResult(done[1])
        self.publisher.give_up(LOST)
        for each in done[:2]:
            self.failureResultOf(each, NotSentError)

    def test_cancelled_and_sent_messages_make_room(self) -> None:
        done = [self.publisher.publish(Message(b"%d" % number)) for number in range(3)]
        done[1].cancel()
        self.failureResultOf(done[1], CancelledError)
        self.publisher.publish(Message(b"3")).addErrback(lambda _: None)
        on = Publishing(self.publisher)
        self.assertEqual(on.sent(), [b"0"])
        late = on.publish(b"4")
        on.ack(1)
        self.assertNoResult(late)

    def test_what_a_lost_connection_gives_back_waits_beyond_it(self) -> None:
        on = Publishing(Publisher(window=Window(5), backlog=Window(1)))
        done = [on.publish(b"%d" % number) for number in range(5)]
        on.sent()
        on.publisher.detach(LOST)
        self.failureResultOf(on.publish(b"5"), NotSentError)
        on.attach()
        self.assertEqual(on.sent(), [b"%d" % number for number in range(5)])
        on.ack(5, multiple=True)
        for each in done:
            self.successResultOf(each)

    def test_given_up_it_is_empty(self) -> None:
        done = [self.publisher.publish(Message(b"x")) for _ in range(3)]
        self.publisher.give_up(LOST)
        for each in done:
            self.failureResultOf(each, NotSentError)
        self.publisher.start()
        self.assertNoResult(self.publisher.publish(Message(b"x")))
