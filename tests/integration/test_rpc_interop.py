"""Callers and servers written with pika alone, as in RabbitMQ's tutorial, and ours."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pika
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from netdemo.amqp import RPCClient, RPCServer
from netdemo.amqp.rpc import ERROR_TYPE
from tests.integration.test_rpc_on_rabbitmq import RPCOnRabbitMQTestCase
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from netdemo.amqp import Delivery


def fib(n: int) -> int:
    """Return a Fibonacci number, the slow way that the tutorial takes."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def call(url: str, queue: str, body: bytes, *, direct: bool) -> tuple[bytes, str | None]:
    """Call as the tutorial does; return body and type of the reply."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        reply_to = "amq.rabbitmq.reply-to"
        if not direct:
            reply_to = channel.queue_declare("", exclusive=True).method.queue
        replies: list[tuple[Any, bytes]] = []
        channel.basic_consume(
            reply_to, lambda *reply: replies.append((reply[2], reply[3])), auto_ack=True
        )
        properties = pika.BasicProperties(reply_to=reply_to, correlation_id="corr-1")
        channel.basic_publish("", queue, body, properties)
        connection.process_data_events(PATIENCE)
        ((received, reply),) = replies
        assert received.correlation_id == "corr-1", received
        return reply, received.type


class TutorialServer:
    """The tutorial's server, in a thread, until `stop`."""

    def __init__(self, url: str, queue: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.basic_qos(prefetch_count=1)
        self._channel.basic_consume(queue, self._on_request)
        self._thread = threading.Thread(target=self._channel.start_consuming)
        self._thread.start()

    def _on_request(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        channel.basic_publish(
            exchange="",
            routing_key=properties.reply_to,
            properties=pika.BasicProperties(correlation_id=properties.correlation_id),
            body=b"%d" % fib(int(body)),
        )
        channel.basic_ack(method.delivery_tag)

    def stop(self) -> None:
        """Serve no more."""
        self._connection.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join()
        self._connection.close()


class InteropTests(RPCOnRabbitMQTestCase):
    """Either end may be another program."""

    async def test_tutorials_caller_is_answered_by_our_server(self) -> None:
        async def handler(delivery: Delivery) -> bytes:
            return b"%d" % fib(int(delivery.message.body))

        RPCServer(self.server, self.queue, handler)
        for direct in (False, True):
            reply = await deferToThread(call, self.node.url, self.queue, b"20", direct=direct)
            self.assertEqual(reply, (b"6765", None))

    async def test_tutorials_caller_reads_the_text_of_an_error(self) -> None:
        def handler(_: Delivery) -> bytes:
            raise ValueError("no number")

        RPCServer(self.server, self.queue, handler)
        for direct in (False, True):
            reply = await deferToThread(call, self.node.url, self.queue, b"x", direct=direct)
            self.assertEqual(reply, (b"ValueError: no number", ERROR_TYPE))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    async def test_our_caller_is_answered_by_the_tutorials_server(self) -> None:
        server = await deferToThread(TutorialServer, self.node.url, self.queue)
        self.addCleanup(deferToThread, server.stop)
        for direct in (True, False):
            rpc = RPCClient(self.caller, direct=direct)
            replies = await gatherResults([rpc.call(self.queue, b"%d" % n) for n in range(15)])
            self.assertEqual(replies, [b"%d" % fib(n) for n in range(15)])
            self.assertEqual((rpc.late, rpc.foreign), (0, 0))
