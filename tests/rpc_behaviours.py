"""Remote procedure calls on any real broker, by direct reply-to and by a queue."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredQueue, gatherResults

from netdemo.amqp import AMQPClient, Message, Queue, RPCClient, RPCServer, Topology
from netdemo.amqp.message import new_message_id
from netdemo.errors import (
    CallTimeout,
    NotSentError,
    OutcomeUnknownError,
    RemoteError,
    UnroutableError,
)
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Delivery


def echo(delivery: Delivery) -> bytes:
    """Reply with the request."""
    return delivery.message.body


class RPCTestCase(TidyTestCase):
    """Two connections, one to call and one to serve, and a queue between them."""

    url: str

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.queue = new_message_id()
        self.topology = Topology(queues=(Queue(self.queue),))
        self.losses: list[int] = []
        self.first_loss: Deferred[None] = Deferred()
        self.caller = await self.connected()
        self.server = await self.connected()
        await self.server.declare(self.topology)

    async def connected(self) -> AMQPClient:
        """Return a client that is ready, and that comes back at once."""
        client = AMQPClient([self.url], reactor, retry_policy=self.lost, stop_timeout=1)
        client.startService()
        self.addCleanup(client.stopService)
        await client.when_ready()
        return client

    def lost(self, failures: int) -> float:
        """Note that a connection was lost, or could not be made."""
        self.losses.append(failures)
        if not self.first_loss.called:
            self.first_loss.callback(None)
        return 0.1

    def callers(self) -> tuple[RPCClient, RPCClient]:
        """Return a direct caller, and one with a queue."""
        return RPCClient(self.caller), RPCClient(self.caller, direct=False)

    async def failing(self, calling: Deferred[bytes], *expected: type[Exception]) -> Any:
        """Return the exception with which `calling` fails, which must be an `expected` one."""
        return await self.assertFailure(calling, *expected)


class Calls(RPCTestCase):
    """What calls come to while nothing breaks."""

    async def test_each_of_a_thousand_calls_gets_its_own_reply(self) -> None:
        count = 1000
        for rpc in self.callers():
            held: list[tuple[Deferred[bytes], bytes]] = []
            seen: list[bytes] = []

            def handler(delivery: Delivery, held: Any = held, seen: Any = seen) -> Deferred[bytes]:
                reply: Deferred[bytes] = Deferred()
                seen.append(delivery.message.body)
                held.append((reply, b"reply to " + delivery.message.body))
                if len(held) == 20:  # they are answered in another order than they came
                    random.shuffle(held)
                    while held:
                        each, body = held.pop()
                        each.callback(body)
                return reply

            queue = new_message_id()  # for this server alone: the other may not have acked all
            await self.server.declare(Topology(queues=(Queue(queue),)))
            RPCServer(self.server, queue, handler, prefetch=50)
            calls = [rpc.call(queue, b"%d" % number) for number in range(count)]
            replies = await gatherResults(calls)
            self.assertEqual(replies, [b"reply to %d" % number for number in range(count)])
            self.assertEqual(len(seen), count)
            self.assertEqual((rpc.late, rpc.foreign), (0, 0))

    async def test_request_to_no_queue_fails_at_once(self) -> None:
        for rpc in self.callers():
            await self.failing(rpc.call("nowhere", b"", timeout=60), UnroutableError)

    async def test_missing_exchange_fails_and_the_next_call_works(self) -> None:
        RPCServer(self.server, self.queue, echo)
        for rpc in self.callers():
            error = await self.failing(rpc.call("key", b"", exchange="nowhere"), NotSentError)
            self.assertEqual(error.reply_code, 404)
            self.assertEqual(await rpc.call(self.queue, b"x"), b"x")

    async def test_request_whose_caller_has_given_up_expires_in_the_queue(self) -> None:
        expiring, expired = new_message_id(), new_message_id()
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": expired}
        queues = (Queue(expiring, arguments=arguments), Queue(expired))
        await self.server.declare(Topology(queues=queues))
        dead: DeferredQueue[Delivery] = DeferredQueue()
        await self.server.consume(expired, dead.put)
        for rpc in self.callers():
            await self.failing(rpc.call("nowhere", b""), UnroutableError)  # so it has a channel
            error = await self.failing(rpc.call(expiring, b"old", timeout=0.1), CallTimeout)
            self.assertIn("no reply", str(error))
            headers = (await dead.get()).message.headers
            assert headers is not None
            self.assertEqual(headers["x-death"][0]["reason"], "expired")

    async def test_reply_to_a_cancelled_call_is_late(self) -> None:
        for rpc in self.callers():
            begun: Deferred[None] = Deferred()
            slow: Deferred[bytes] = Deferred()

            def handler(
                delivery: Delivery, begun: Deferred[None] = begun, slow: Deferred[bytes] = slow
            ) -> bytes | Deferred[bytes]:
                if delivery.message.body == b"quick":
                    return b""
                begun.callback(None)
                return slow

            server = RPCServer(self.server, self.queue, handler)
            calling = rpc.call(self.queue, b"slow")
            await begun
            calling.cancel()
            await self.failing(calling, CancelledError)
            slow.callback(b"too late")
            await rpc.call(self.queue, b"quick")
            self.assertEqual((rpc.late, rpc.foreign), (1, 0))
            server.remove()

    async def test_reply_to_nothing_is_foreign(self) -> None:
        async def handler(delivery: Delivery) -> bytes:
            forged = Message(b"forged", correlation_id="0" * 32)
            reply_to = str(delivery.message.reply_to)
            await self.server.publish(forged, "", reply_to, mandatory=False)
            return b"genuine"

        RPCServer(self.server, self.queue, handler)
        for rpc in self.callers():
            self.assertEqual(await rpc.call(self.queue, b""), b"genuine")
            self.assertEqual((rpc.late, rpc.foreign), (0, 1))

    async def test_errors_of_the_handler_are_the_callers(self) -> None:
        def handler(delivery: Delivery) -> bytes:
            if delivery.message.body == b"ours":
                raise RemoteError("no such user")
            return b"%d" % (1 // int(delivery.message.body))

        RPCServer(self.server, self.queue, handler)
        for rpc in self.callers():
            error = await self.failing(rpc.call(self.queue, b"ours"), RemoteError)
            self.assertEqual(str(error), "no such user")
            error = await self.failing(rpc.call(self.queue, b"0"), RemoteError)
            self.assertIn("ZeroDivisionError: ", str(error))
            self.assertEqual(await rpc.call(self.queue, b"1"), b"1")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    async def test_no_more_requests_are_in_hand_than_the_prefetch(self) -> None:
        in_hand: list[Deferred[bytes]] = []
        most: list[int] = []

        def handler(_: Delivery) -> Deferred[bytes]:
            in_hand.append(Deferred())
            most.append(len(in_hand))
            if len(most) >= 3:  # the third, and each after it, lets the oldest go
                reactor.callLater(0, lambda: in_hand.pop(0).callback(b""))
            return in_hand[-1]

        RPCServer(self.server, self.queue, handler, prefetch=3)
        rpc = RPCClient(self.caller)
        calls = [rpc.call(self.queue, b"") for _ in range(20)]
        await gatherResults(calls[:18])
        for each in in_hand:
            each.callback(b"")
        await gatherResults(calls[18:])
        self.assertEqual(max(most), 3)

    async def test_caller_that_is_gone_is_counted_and_its_request_done(self) -> None:
        begun: Deferred[None] = Deferred()
        slow: Deferred[bytes] = Deferred()
        seen: list[bytes] = []

        def handler(delivery: Delivery) -> bytes | Deferred[bytes]:
            seen.append(delivery.message.body)
            if delivery.message.body == b"quick":
                return b""
            begun.callback(None)
            return slow

        server = RPCServer(self.server, self.queue, handler)
        calling = RPCClient(self.caller, direct=False).call(self.queue, b"slow")
        await begun
        await self.caller.stopService()
        await self.failing(calling, OutcomeUnknownError)
        slow.callback(b"")
        await server.consumer.drain()
        self.assertEqual(server.gone, 1)
        server.remove()
        RPCServer(self.server, self.queue, handler)
        await RPCClient(self.server).call(self.queue, b"quick")
        self.assertEqual(seen, [b"slow", b"quick"])


class Losses(RPCTestCase):
    """Connections are lost while requests are in hand."""

    async def test_request_of_a_server_that_dies_is_served_by_another(self) -> None:
        begun: Deferred[None] = Deferred()

        def stuck(_: Delivery) -> Deferred[bytes]:
            begun.callback(None)
            return Deferred()

        RPCServer(self.server, self.queue, stuck)
        calling = RPCClient(self.caller).call(self.queue, b"x")
        await begun
        other = await self.connected()
        RPCServer(other, self.queue, echo)
        await self.server.stopService()
        self.assertEqual(await calling, b"x")

    async def test_reply_of_a_first_attempt_counts_and_that_of_the_second_is_late(self) -> None:
        begun: Deferred[None] = Deferred()
        first: Deferred[bytes] = Deferred()
        attempts: list[bool] = []

        def handler(delivery: Delivery) -> bytes | Deferred[bytes]:
            if delivery.message.body != b"slow":
                return b"quick"
            attempts.append(delivery.redelivered)
            if len(attempts) > 1:
                return b"second"
            begun.callback(None)
            return first

        RPCServer(self.server, self.queue, handler)
        rpc = RPCClient(self.caller)
        calling = rpc.call(self.queue, b"slow")
        await begun
        assert self.server._session is not None
        self.server._session.abort()
        await self.first_loss
        first.callback(b"first")
        self.assertEqual(await calling, b"first")
        self.assertEqual(await rpc.call(self.queue, b""), b"quick")
        self.assertEqual(attempts, [False, True])
        self.assertEqual((rpc.late, rpc.foreign), (1, 0))
