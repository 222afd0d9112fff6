"""`netdemo.broker.replies`: who waits for replies gets them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.backlog import Entry
from netdemo.broker.message import Message
from netdemo.broker.replies import REPLY_TO, NoQueue, Replies

REPLY = Message("", "", b"", b"")


class Asker:
    """Keeps the replies that it gets."""

    def __init__(self) -> None:
        self.replies: list[Message] = []

    def deliver_reply(self, message: Message) -> None:
        """Keep a reply."""
        self.replies.append(message)


class RepliesTests(SynchronousTestCase):
    """`Replies`."""

    def setUp(self) -> None:
        self.replies = Replies()
        self.asker, self.other = Asker(), Asker()
        self.name = self.replies.add(self.asker)

    def test_name_begins_as_rabbitmqs_and_fits_on_the_wire(self) -> None:
        self.assertTrue(self.name.startswith(f"{REPLY_TO}."))
        self.assertLess(len(self.name), 256)

    def test_each_has_a_name_of_its_own(self) -> None:
        self.assertEqual(100, len({self.replies.add(self.asker) for _ in range(100)}))

    def test_who_waits_is_expected(self) -> None:
        self.assertTrue(self.replies.expects(self.name))

    def test_nobody_else_is_expected(self) -> None:
        for name in ("", REPLY_TO, f"{self.name}x", self.name[:-1]):
            self.assertFalse(self.replies.expects(name))

    def test_reply_goes_to_who_asked_alone(self) -> None:
        self.replies.add(self.other)
        self.replies.deliver(REPLY, [self.name])
        self.assertEqual(([REPLY], []), (self.asker.replies, self.other.replies))

    def test_reply_with_many_keys_goes_to_each(self) -> None:
        self.replies.deliver(REPLY, ["q", self.replies.add(self.other), self.name])
        self.assertEqual(([REPLY], [REPLY]), (self.asker.replies, self.other.replies))

    def test_reply_to_nobody_goes_nowhere(self) -> None:
        self.replies.deliver(REPLY, ["q"])
        self.assertEqual([], self.asker.replies)

    def test_who_is_gone_gets_nothing(self) -> None:
        self.replies.remove(self.name)
        self.replies.deliver(REPLY, [self.name])
        self.assertEqual([], self.asker.replies)
        self.assertFalse(self.replies.expects(self.name))

    def test_who_is_gone_may_go_again(self) -> None:
        self.replies.remove(self.name)
        self.replies.remove(self.name)


class NoQueueTests(SynchronousTestCase):
    """What replies are consumed from."""

    def test_answers_are_taken_and_change_nothing(self) -> None:
        queue = NoQueue()
        entry = Entry(REPLY, 0)
        for answer in (queue.done, queue.reject, queue.requeue):
            answer(entry)
        self.assertFalse(entry.redelivered)
        self.assertEqual(REPLY_TO, queue.name)
