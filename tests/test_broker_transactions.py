"""Transactions of our broker, and the disk."""

from __future__ import annotations

from pika import spec

from netdemo.broker.broker import Broker
from netdemo.broker.properties import DELIVERY_MODE
from netdemo.broker.users import guest_only
from netdemo.errors import PreconditionFailed
from tests.broker_peer import BrokerPeer, BrokerPeerTestCase, content_header, publication
from tests.stores import threaded_store

PERSISTENT = content_header(1, DELIVERY_MODE, b"\2")


class CommitTests(BrokerPeerTestCase):
    """When a commit is answered."""

    def setUp(self) -> None:
        super().setUp()
        store, self.thread = threaded_store(self.clock)
        self.broker = Broker(self.clock, guest_only(), store)
        self.vhost = self.broker.vhost("/")

    def selected(self) -> BrokerPeer:
        """Return a peer that has declared a durable queue and begun a transaction."""
        peer = self.connect()
        peer.call(spec.Queue.Declare(queue="q", durable=True), spec.Tx.Select())
        self.thread.work()
        return peer

    def test_commit_is_answered_when_its_messages_are_on_disk(self) -> None:
        peer = self.selected()
        peer.send(publication(1, "", "q", b"1", PERSISTENT))
        self.assertEqual([], peer.call(spec.Tx.Commit()))
        self.thread.work()
        (answer,) = peer.methods()
        self.assertIsInstance(answer, spec.Tx.CommitOk)

    def test_commit_of_what_is_in_memory_alone_is_answered_at_once(self) -> None:
        peer = self.selected()
        peer.publish("q", b"1")
        (answer,) = peer.call(spec.Tx.Commit())
        self.assertIsInstance(answer.method, spec.Tx.CommitOk)

    def test_commit_is_not_answered_on_a_channel_that_was_closed_meanwhile(self) -> None:
        peer = self.selected()
        peer.send(publication(1, "", "q", b"1", PERSISTENT))
        peer.call(spec.Tx.Commit(), spec.Channel.Close(0, "", 0, 0), spec.Channel.Open())
        self.thread.work()
        self.assertEqual([], peer.methods())

    def test_what_waits_for_a_commit_is_counted_in_memory_until_the_end(self) -> None:
        for ending in (spec.Tx.Commit(), spec.Tx.Rollback(), spec.Channel.Close(0, "", 0, 0)):
            peer = self.connect()
            peer.call(spec.Tx.Select())
            peer.publish("nowhere", b"1")
            self.assertGreater(self.broker.memory.used, 0)
            peer.call(ending)
            self.assertEqual(0, self.broker.memory.used, ending.NAME)

    def test_unfinished_message_of_a_channel_that_the_broker_closes_leaves_room(self) -> None:
        peer = self.connect()
        connection = next(iter(self.broker.connections))
        for _ in range(3):
            frames = publication(1, "", "q", b"", content_header(100 * 1024 * 1024))
            peer.send(frames)
            connection.close_channels(PreconditionFailed("enough"))
            answers = peer.call(spec.Channel.CloseOk(), spec.Channel.Open())
            self.assertIsInstance(answers[0].method, spec.Channel.Close)
            self.assertEqual(406, answers[0].method.reply_code)
