"""Clients that break the rules of our broker: each is told so, and costs nobody else anything."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, cast

from pika import spec
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from netdemo.broker.users import Users
from netdemo.broker.wire import PROTOCOL_HEADER, write_method
from netdemo.frames import METHOD, frame
from tests.broker_peer import BrokerPeerTestCase, login

if TYPE_CHECKING:
    from twisted.logger import ILogObserver, LogEvent

UGLY = b"\xff\xfe"
"""What is not UTF-8."""


class NamesTests(BrokerPeerTestCase):
    """Names of any bytes."""

    def test_name_that_is_not_utf8_ends_the_connection(self) -> None:
        peer = self.connect()
        peer.send(b"\x01\0\x01\0\0\0\x0a\0\x3c\0\x46\0\0\x02\xff\xfe\0\xce")
        (close,) = peer.methods()
        self.assertEqual(501, close.reply_code)

    def test_routing_key_from_an_argument_that_is_not_utf8_is_got_as_it_came(self) -> None:
        peer = self.connect()
        entries = b"".join(
            bytes((len(name),)) + name.encode() + value
            for name, value in (
                ("x-dead-letter-exchange", b"S\0\0\0\x0aamq.fanout"),
                ("x-dead-letter-routing-key", b"S\0\0\0\x02" + UGLY),
                ("x-max-length", b"I\0\0\0\0"),
            )
        )
        whole = write_method(1, spec.Queue.Declare(queue="q"))
        peer.send(frame(METHOD, 1, whole[7:-5] + len(entries).to_bytes(4) + entries))
        peer.call(spec.Queue.Declare(queue="dead"), spec.Queue.Bind(0, "dead", "amq.fanout"))
        peer.publish("q")
        peer.send(write_method(1, spec.Basic.Get(queue="dead", no_ack=True)))
        self.assertIn(b"\x0aamq.fanout\x02" + UGLY, peer.unread)


class LogTests(BrokerPeerTestCase):
    """What a client says is in the log."""

    def test_refused_name_can_not_forge_a_line(self) -> None:
        logged: list[str] = []

        def observe(event: LogEvent) -> None:
            logged.append(formatEvent(event))

        observer = cast("ILogObserver", observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.connect().call(spec.Exchange.Declare(exchange="x", type="odd\nmemory: all is well"))
        (line,) = (each for each in logged if "all is well" in each)
        self.assertNotIn("\n", line)


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


class ManyExchangesTests(BrokerPeerTestCase):
    """Exchanges that are bound to each other."""

    def test_long_chain_of_exchanges_goes_with_the_last(self) -> None:
        peer = self.connect()
        before = list(self.vhost.exchanges)
        length = 1000
        for each in range(length):
            declare = spec.Exchange.Declare(exchange=f"x{each}", type="fanout", auto_delete=True)
            bind = spec.Exchange.Bind(destination=f"x{each}", source=f"x{each - 1}")
            peer.call(declare, *([bind] if each else []))
        (deleted,) = peer.call(spec.Exchange.Delete(exchange=f"x{length - 1}"))
        self.assertIsInstance(deleted.method, spec.Exchange.DeleteOk)
        self.assertEqual(before, list(self.vhost.exchanges))


class LeavingTests(BrokerPeerTestCase):
    """Peers that leave in the middle of it."""

    def test_peer_that_leaves_while_its_password_is_tried_leaves_nothing_in_the_log(self) -> None:
        self.broker.users = Users([], lambda _: Deferred())
        peer = self.dial()
        peer.send(PROTOCOL_HEADER + write_method(0, login()))
        peer.end()
        gc.collect()
