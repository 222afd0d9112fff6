"""Remote procedure calls on a broker that knows direct reply-to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from netdemo.amqp import RPCClient, RPCServer
from netdemo.errors import CallTimeout, OutcomeUnknownError, RemoteError, UnroutableError
from tests.memory_clients import QUEUE, MemoryClientTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Delivery


def reversed_body(delivery: Delivery) -> bytes:
    """Reply with the request, backwards."""
    return delivery.message.body[::-1]


class CallTests(MemoryClientTestCase):
    """A caller and a server on connections of their own; each call is made in both ways."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.add_client()
        self.network.advance()

    def callers(self) -> tuple[RPCClient, RPCClient]:
        """Return a direct caller, and one with a queue."""
        return RPCClient(self.client), RPCClient(self.client, direct=False)

    def test_reply_comes(self) -> None:
        RPCServer(self.server, QUEUE, reversed_body)
        for caller in self.callers():
            self.assertEqual(self.result(caller.call(QUEUE, b"abc")), b"cba")

    def test_replies_find_their_calls_in_any_order(self) -> None:
        replies: list[tuple[bytes, Deferred[bytes]]] = []

        def handler(delivery: Delivery) -> Deferred[bytes]:
            replies.append((delivery.message.body, Deferred()))
            return replies[-1][1]

        RPCServer(self.server, QUEUE, handler, prefetch=10)
        for caller in self.callers():
            calls = [caller.call(QUEUE, b"%d" % number) for number in range(3)]
            self.network.advance()
            for body, reply in reversed(replies):
                reply.callback(b"to " + body)
            replies.clear()
            self.network.advance()
            got = [self.successResultOf(call) for call in calls]
            self.assertEqual(got, [b"to 0", b"to 1", b"to 2"])

    def test_error_of_the_server_is_told(self) -> None:
        def handler(_: Delivery) -> bytes:
            raise RemoteError("no such poem")

        RPCServer(self.server, QUEUE, handler)
        for caller in self.callers():
            error = self.failure(caller.call(QUEUE, b""), RemoteError)
            self.assertIn("no such poem", str(error))

    def test_nobody_to_serve_fails_at_once(self) -> None:
        for caller in self.callers():
            self.failure(caller.call("nowhere", b""), UnroutableError)

    def test_request_that_nobody_has_taken_in_time_expires(self) -> None:
        for caller in self.callers():
            call = caller.call(QUEUE, b"", timeout=2)
            self.network.advance(1.9)
            self.assertEqual(self.ready(), 1)
            self.network.advance(0.2)
            self.failure(call, CallTimeout)
            self.assertEqual(self.ready(), 0)

    def test_call_is_not_made_again_when_its_connection_is_lost(self) -> None:
        requests: list[Delivery] = []

        def handler(delivery: Delivery) -> Deferred[bytes]:
            requests.append(delivery)
            return Deferred()

        RPCServer(self.server, QUEUE, handler, prefetch=10)
        for caller in self.callers():
            requests.clear()
            call = caller.call(QUEUE, b"")
            self.network.advance()
            self.assertEqual(len(requests), 1)
            self.broker.drop()
            self.failure(call, OutcomeUnknownError)
            self.network.advance(5)

    def test_caller_and_server_are_back_after_a_restart(self) -> None:
        RPCServer(self.server, QUEUE, reversed_body)
        callers = self.callers()
        self.broker.restart()
        for caller in callers:
            self.assertEqual(self.result(caller.call(QUEUE, b"abc"), 5), b"cba")
