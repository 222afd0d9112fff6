"""Our broker as a process, and clients that are none of the best: its memory is bounded."""

from __future__ import annotations

import contextlib  # trial takes a name `suppress` for its own
import selectors
import socket

from pika import spec

from netdemo.broker.wire import write_method
from netdemo.frames import BODY, HEADER, frame
from tests.broker_peer import content_header, publication
from tests.broker_process import BrokerProcessTestCase
from tests.broker_socket import BrokerSocket
from tests.processes import anonymous_memory

MIB = 1024 * 1024
QUIET = 1.0
"""Seconds in which the broker takes nothing more: by then it has stopped reading."""

MOST = 1 << 30
"""Bytes that are sent at most."""


class HostileTestCase(BrokerProcessTestCase):
    """A broker with a client that keeps all rules, beside others."""

    def connect(self, *channels: int) -> BrokerSocket:
        """Return a connection that is closed after the test."""
        client = BrokerSocket(self.broker.port)
        self.addCleanup(client.socket.close)
        return client.shake_hands(*(channels or (1,)))

    def send_until_stuck(self, client: BrokerSocket, data: bytes) -> int:
        """Send the same again and again until the broker reads no more; return how many bytes."""
        sent = 0
        with selectors.DefaultSelector() as selector:
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_WRITE)
            while sent < MOST and selector.select(QUIET):
                with contextlib.suppress(BlockingIOError):
                    sent += client.socket.send(data[sent % len(data) :])
        return sent

    def check_service(self) -> None:
        """See that a good client is served."""
        with BrokerSocket(self.broker.port).shake_hands(1) as client:
            client.call(spec.Queue.Declare(queue="good"), spec.Queue.DeclareOk)
            client.call(spec.Basic.Get(queue="good"), spec.Basic.GetEmpty)


class MemoryTests(HostileTestCase):
    """A broker for 32 MiB of messages."""

    options = (f"--max-memory={32 * MIB}",)

    def test_consumer_that_never_reads_and_a_flood_for_it_are_bounded(self) -> None:
        before = anonymous_memory(self.broker.pid)
        consumer, publisher = self.connect(), self.connect()
        consumer.call(spec.Queue.Declare(queue="q"), spec.Queue.DeclareOk)
        consumer.send(write_method(1, spec.Basic.Consume(queue="q", no_ack=True)))
        sent = self.send_until_stuck(publisher, publication(1, "", "q", bytes(65536)))
        self.assertLess(sent, MOST)
        self.assertLess(anonymous_memory(self.broker.pid), before + 2 * 32 * MIB)
        self.check_service()

    def test_flood_into_a_short_queue_is_taken_in_flat_memory(self) -> None:
        client = self.connect()
        short = spec.Queue.Declare(queue="short", arguments={"x-max-length": 10})
        client.call(short, spec.Queue.DeclareOk)
        before = anonymous_memory(self.broker.pid)
        data = publication(1, "", "short", bytes(65536)) * 16
        for _ in range(100):
            client.send(data)
        declared = client.call(short, spec.Queue.DeclareOk)
        self.assertEqual(10, declared.message_count)
        self.assertLess(anonymous_memory(self.broker.pid), before + 16 * MIB)

    def test_gets_that_are_not_read_are_answered_no_faster(self) -> None:
        client, slow = self.connect(), self.connect()
        client.call(spec.Queue.Declare(queue="q"), spec.Queue.DeclareOk)
        for _ in range(24):
            client.send(publication(1, "", "q", bytes(MIB)))
        client.call(spec.Queue.Declare(queue="q"), spec.Queue.DeclareOk)
        before = anonymous_memory(self.broker.pid)
        slow.send(write_method(1, spec.Basic.Get(queue="q", no_ack=True)) * 24)
        self.check_service()
        declared = client.call(spec.Queue.Declare(queue="q"), spec.Queue.DeclareOk)
        self.assertGreater(declared.message_count, 0)
        self.assertLess(anonymous_memory(self.broker.pid), before + 16 * MIB)

    def test_contents_begun_on_all_channels_hold_no_more_than_came(self) -> None:
        before = anonymous_memory(self.broker.pid)
        client = self.connect(*range(1, 2048))
        for number in range(1, 2048):
            client.send(
                write_method(number, spec.Basic.Publish(routing_key="q"))
                + frame(HEADER, number, content_header(60_000))
                + frame(BODY, number, bytes(59_999))
            )
        self.check_service()
        for number in range(1, 2048):
            client.send(frame(BODY, number, b"x"))
        client.send(write_method(1, spec.Queue.Declare(queue="end")))
        self.assertEqual("end", client.read(spec.Queue.DeclareOk).queue)
        # What came, 117 MiB, and what a channel costs.
        self.assertLess(anonymous_memory(self.broker.pid), before + (128 + 64) * MIB)


class ConnectionsTests(HostileTestCase):
    """A broker for 20 connections."""

    options = ("--max-connections=20",)

    def test_those_beyond_the_limit_are_refused_and_the_others_served(self) -> None:
        good = self.connect()
        before = anonymous_memory(self.broker.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(19):
                stack.enter_context(BrokerSocket(self.broker.port)).shake_hands()
            for _ in range(2000):
                with (
                    contextlib.suppress(ConnectionError),
                    socket.create_connection(("127.0.0.1", self.broker.port)) as refused,
                ):
                    self.assertEqual(b"", refused.recv(1))
            good.call(spec.Queue.Declare(queue="q"), spec.Queue.DeclareOk)
        good.socket.close()
        self.assertLess(anonymous_memory(self.broker.pid), before + 16 * MIB)
