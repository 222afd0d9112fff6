"""Clients that break the rules of our broker: each is told so, and costs nobody else anything."""

from __future__ import annotations

from pika import spec

from tests.broker_peer import BrokerPeerTestCase

UGLY = "\udcff\udcfe"
"""A name that is not UTF-8, as the broker keeps it."""

UGLY_BYTES = b"\xff\xfe"


class NamesTests(BrokerPeerTestCase):
    """Names of any bytes."""

    def test_refusal_tells_a_name_that_is_not_utf8_as_it_came(self) -> None:
        peer = self.connect()
        peer.send(b"\x01\0\x01\0\0\0\x0a\0\x3c\0\x46\0\0\x02\xff\xfe\0\xce")
        self.assertIn(b"NOT_FOUND - no queue '\xff\xfe' in vhost '/'", peer.unread)

    def test_queue_with_a_name_that_is_not_utf8_is_declared(self) -> None:
        peer = self.connect()
        peer.send(b"\x01\0\x01\0\0\0\x0e\0\x32\0\x0a\0\0\x02\xff\xfe\0\0\0\0\0\xce")
        (declared,) = peer.methods()
        self.assertEqual(UGLY_BYTES, declared.queue)
        self.assertEqual([UGLY], list(self.vhost.queues))


class MethodsTests(BrokerPeerTestCase):
    """Methods that few send."""

    def test_new_secret_is_taken(self) -> None:
        peer = self.connect()
        (answer,) = peer.call(spec.Connection.UpdateSecret("new", "because"), channel=0)
        self.assertIsInstance(answer.method, spec.Connection.UpdateSecretOk)


class ForgettingTests(BrokerPeerTestCase):
    """What is deleted is forgotten."""

    def bound(self, exchange: str) -> spec.Queue.Bind:
        """Return what binds the queue q to an exchange."""
        return spec.Queue.Bind(queue="q", exchange=exchange)

    def test_deleted_exchange_is_forgotten_with_a_queue_that_was_bound_to_it(self) -> None:
        peer = self.connect()
        peer.call(
            spec.Queue.Declare(queue="q"),
            spec.Exchange.Declare(exchange="x"),
            self.bound("x"),
            spec.Exchange.Delete(exchange="x"),
        )
        self.assertEqual({}, self.vhost._sources)

    def test_source_is_forgotten_with_the_last_binding(self) -> None:
        peer = self.connect()
        peer.call(
            spec.Queue.Declare(queue="q"),
            self.bound("amq.direct"),
            self.bound("amq.fanout"),
            spec.Queue.Bind(queue="q", exchange="amq.direct", routing_key="another"),
            spec.Queue.Unbind(queue="q", exchange="amq.direct", routing_key="another"),
            spec.Queue.Unbind(queue="q", exchange="amq.fanout", routing_key=""),
        )
        (sources,) = self.vhost._sources.values()
        self.assertEqual([self.vhost.exchange("amq.direct")], list(sources))
