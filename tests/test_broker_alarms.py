"""Alarms of our broker: publishers that are blocked go on when there is no reason any more."""

from __future__ import annotations

import sqlite3
from unittest import mock

from pika import spec

from netdemo.broker import broker, commits
from netdemo.broker.properties import DELIVERY_MODE
from netdemo.broker.users import guest_only
from tests.broker_peer import BrokerPeer, BrokerPeerTestCase, content_header, publication
from tests.stores import threaded_store

BODY = b"x" * 1000
PERSISTENT = content_header(len(BODY), DELIVERY_MODE, b"\2")


class AlarmsTests(BrokerPeerTestCase):
    """A publisher alone."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(broker, "MAX_WAITING", 1000)
        self.store, self.thread = threaded_store(self.clock)
        self.broker = broker.Broker(self.clock, guest_only(), self.store, 4000)
        self.vhost = self.broker.vhost("/")

    def declared(self) -> BrokerPeer:
        """Return a peer that has declared a durable queue, and one in memory."""
        peer = self.connect()
        peer.call(spec.Queue.Declare(queue="q", durable=True), spec.Queue.Declare(queue="t"))
        self.work()
        return peer

    def work(self) -> None:
        """Write all that there is to be written."""
        while not self.thread.idle:
            self.thread.work()

    def test_alarm_of_memory_that_gives_way_to_that_of_the_disk_ends_with_it(self) -> None:
        peer = self.declared()
        in_memory = publication(1, "", "t", BODY) * 3
        peer.send(in_memory + publication(1, "", "q", BODY, PERSISTENT) * 2)
        self.assertFalse(peer.reading)
        self.broker.turns.run(self.vhost.queue("t").purge)
        self.assertEqual(broker.LOW_DISK, self.broker.alarm)
        self.work()
        self.assertTrue(peer.reading)

    def test_alarm_ends_when_what_is_emptied_can_be_deleted_again(self) -> None:
        peer = self.declared()
        peer.send(publication(1, "", "q", BODY, PERSISTENT))
        self.work()
        outcomes = sqlite3.OperationalError("full"), True
        with mock.patch.object(commits, "sweep", side_effect=outcomes):
            peer.call(spec.Queue.Delete(queue="q"))
            self.work()
            peer.publish("t")
            self.assertFalse(peer.reading)
            self.clock.advance(commits.RETRY)
            self.work()
        self.assertTrue(peer.reading)
