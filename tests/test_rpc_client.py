"""`netdemo.amqp.rpc`: what a caller sends, and what its calls come to."""

from __future__ import annotations

from pika import spec
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from netdemo.amqp.interfaces import IChannelUser
from netdemo.amqp.message import PERSISTENT, TRANSIENT, Message
from netdemo.amqp.rpc import CALL_TIMEOUT, ERROR_TYPE, MAX_TIMEOUT, RPCClient
from netdemo.errors import (
    CallTimeout,
    NackedError,
    NotSentError,
    RemoteError,
    TooManyCalls,
    UnroutableError,
)
from tests.calling import CHANNEL, CallerTestCase
from tests.clients import ClientTestCase


class ChannelTests(ClientTestCase):
    """Where the replies come."""

    def methods(self, direct: bool) -> list[object]:
        """Return what a caller asks on its channel."""
        RPCClient(self.client, direct=direct)
        self.client.startService()
        peer = self.accept()
        on_its = [each for each in peer.agreed if each.channel_number == CHANNEL]
        return [each.method for each in on_its]

    def test_provides_its_interface(self) -> None:
        verifyObject(IChannelUser, RPCClient(self.client))

    def test_direct_reply_to_is_consumed_without_acks_before_anything_is_published(self) -> None:
        _, consume, confirm = self.methods(direct=True)
        self.assertIsInstance(confirm, spec.Confirm.Select)
        assert isinstance(consume, spec.Basic.Consume)
        self.assertEqual((consume.queue, consume.no_ack), ("amq.rabbitmq.reply-to", True))

    def test_queue_of_its_own_is_named_by_the_broker_and_goes_with_the_channel(self) -> None:
        _, declare, consume, _ = self.methods(direct=False)
        assert isinstance(declare, spec.Queue.Declare)
        self.assertEqual((declare.queue, declare.durable), ("", False))
        self.assertEqual((declare.exclusive, declare.auto_delete), (True, True))
        assert isinstance(consume, spec.Basic.Consume)
        self.assertEqual((consume.queue, consume.no_ack), ("amq.gen-1", True))


class RequestTests(CallerTestCase):
    """What is sent."""

    def test_request_says_where_its_reply_goes_and_when_nobody_waits_any_more(self) -> None:
        self.begin(b"30", timeout=5)
        sent = self.one_published()
        self.assertEqual((sent.exchange, sent.routing_key, sent.body), ("", "q", b"30"))
        self.assertTrue(sent.mandatory)
        self.assertEqual(sent.properties.reply_to, "amq.rabbitmq.reply-to")
        self.assertEqual(sent.properties.expiration, "5000")
        self.assertEqual(sent.properties.delivery_mode, TRANSIENT)

    def test_no_two_calls_have_a_correlation_id_in_common(self) -> None:
        for _ in range(100):
            self.begin()
        ids = {each.properties.correlation_id for each in self.published()}
        self.assertEqual({len(str(each)) for each in ids}, {32})
        self.assertEqual(len(ids), 100)

    def test_message_is_sent_as_it_is_but_for_what_makes_it_a_request(self) -> None:
        message = Message(b"x", headers={"a": 1}, message_id="m", correlation_id="mine")
        self.begin(message, "key", exchange="e")
        sent = self.one_published()
        self.assertEqual((sent.exchange, sent.routing_key), ("e", "key"))
        self.assertEqual(sent.properties.headers, {"a": 1})
        self.assertEqual(sent.properties.message_id, "m")
        self.assertEqual(sent.properties.delivery_mode, PERSISTENT)
        self.assertNotEqual(sent.properties.correlation_id, "mine")

    def test_call_without_a_connection_waits_for_it_and_expires_no_later(self) -> None:
        self.peer.wire.end()
        calling = self.begin(timeout=5)
        self.reactor.advance(1)
        self.let_in()
        sent = self.one_published()
        self.assertEqual(sent.properties.expiration, "4000")
        self.reply(sent.properties.correlation_id)
        self.assertEqual(self.successResultOf(calling), b"reply")

    def test_timeout_that_is_none_is_refused(self) -> None:
        for timeout in (0, -1, float("nan"), float("inf"), 2 * MAX_TIMEOUT):
            with self.assertRaises(ValueError):
                self.rpc.call("q", b"", timeout=timeout)


class OutcomeTests(CallerTestCase):
    """What a call fires with."""

    def test_reply_is_the_result(self) -> None:
        calling, correlation_id = self.call()
        self.confirm()
        self.assertNoResult(calling)
        self.reply(correlation_id)
        self.assertEqual(self.successResultOf(calling), b"reply")

    def test_reply_does_not_wait_for_the_requests_confirm(self) -> None:
        calling, correlation_id = self.call()
        self.reply(correlation_id, b"")
        self.assertEqual(self.successResultOf(calling), b"")
        self.confirm()

    def test_replies_in_another_order_find_their_calls(self) -> None:
        calls = [self.call() for _ in range(3)]
        for number in (2, 0, 1):
            self.reply(calls[number][1], b"%d" % number)
        self.assertEqual([self.successResultOf(call) for call, _ in calls], [b"0", b"1", b"2"])

    def test_error_of_the_server_is_raised_in_one_line(self) -> None:
        calling, correlation_id = self.call()
        self.reply(correlation_id, b"no\n\x1b[31msuch\xff number " + b"x" * 2000, ERROR_TYPE)
        text = str(self.failureResultOf(calling, RemoteError).value)
        self.assertTrue(text.startswith("no [31msuch\ufffd number xxx"), text)
        self.assertLessEqual(len(text), RemoteError.max_length)

    def test_unroutable_request_fails_at_once(self) -> None:
        calling = self.begin()
        self.give_back(self.one_published())
        self.failureResultOf(calling, UnroutableError)

    def test_nacked_request_fails_at_once(self) -> None:
        calling, _ = self.call()
        self.peer.send(spec.Basic.Nack(1), channel=CHANNEL)
        self.failureResultOf(calling, NackedError)

    def test_request_that_cannot_be_put_on_the_wire_fails_at_once(self) -> None:
        self.failureResultOf(self.begin(queue="q" * 256), NotSentError)

    def test_no_reply_in_time_is_a_failure_that_names_the_queue(self) -> None:
        calling, _ = self.call()
        self.reactor.advance(CALL_TIMEOUT - 0.1)
        self.assertNoResult(calling)
        self.reactor.advance(0.1)
        error = self.failureResultOf(calling, CallTimeout).value
        self.assertEqual(str(error), "no reply from 'q' within 30 s")

    def test_no_connection_in_time_is_told_and_nothing_is_sent_later(self) -> None:
        self.peer.wire.end()
        calling = self.begin(timeout=0.5)
        self.reactor.advance(1)
        error = self.failureResultOf(calling, CallTimeout).value
        self.assertEqual(str(error), "no channel to call 'q' on within 0.5 s")
        self.let_in()
        self.assertEqual(self.published(), [])

    def test_cancelled_call_ends_and_leaves_no_timer(self) -> None:
        calling, _ = self.call()
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class StrayReplyTests(CallerTestCase):
    """Replies for which nobody waits are dropped, and counted."""

    def counts(self) -> tuple[int, int]:
        """Return how many replies were late and foreign."""
        return self.rpc.late, self.rpc.foreign

    def test_after_the_timeout_it_is_late(self) -> None:
        calling, correlation_id = self.call(timeout=1)
        self.reactor.advance(1)
        self.failureResultOf(calling, CallTimeout)
        self.reply(correlation_id)
        self.assertEqual(self.counts(), (1, 0))

    def test_after_a_cancel_it_is_late(self) -> None:
        calling, correlation_id = self.call()
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        self.reply(correlation_id)
        self.assertEqual(self.counts(), (1, 0))

    def test_second_one_is_late(self) -> None:
        calling, correlation_id = self.call()
        self.reply(correlation_id, b"first")
        self.reply(correlation_id, b"second")
        self.reply(correlation_id, b"third", ERROR_TYPE)
        self.assertEqual(self.successResultOf(calling), b"first")
        self.assertEqual(self.counts(), (2, 0))

    def test_unknown_correlation_id_is_foreign(self) -> None:
        calling, _ = self.call()
        self.reply("0" * 32)
        self.reply("0" * 32, type_=ERROR_TYPE)
        self.assertNoResult(calling)
        self.assertEqual(self.counts(), (0, 2))

    def test_no_correlation_id_or_one_that_is_no_text_is_foreign(self) -> None:
        calling, _ = self.call()
        self.reply(None)
        self.reply("")
        self.reply(b"\xff\xfe")  # type: ignore[arg-type]
        self.assertNoResult(calling)
        self.assertEqual(self.counts(), (0, 3))


class LimitTests(CallerTestCase):
    """Neither what waits nor what is remembered grows without a bound."""

    max_calls = 2

    def test_call_beyond_the_limit_fails_at_once_until_another_ends(self) -> None:
        calls = [self.begin() for _ in range(3)]
        self.failureResultOf(calls[2], TooManyCalls)
        calls[0].cancel()
        self.failureResultOf(calls[0], CancelledError)
        self.assertNoResult(self.begin())

    def test_as_many_that_ended_are_remembered(self) -> None:
        ids = []
        for _ in range(3):
            calling, correlation_id = self.call()
            calling.cancel()
            ids.append(correlation_id)
        for each in ids:
            self.reply(each)
        self.assertEqual((self.rpc.late, self.rpc.foreign), (2, 1))


class ReentryTests(CallerTestCase):
    """Callbacks of a call that call again, and cancel others."""

    def test_callback_may_call_again(self) -> None:
        first, correlation_id = self.call()
        second = first.addCallback(lambda reply: self.rpc.call("q", reply + b" again"))
        self.reply(correlation_id)
        sent = self.one_published()
        self.assertEqual(sent.body, b"reply again")
        self.reply(sent.properties.correlation_id, b"second")
        self.assertEqual(self.successResultOf(second), b"second")

    def test_callback_may_cancel_another_call(self) -> None:
        first, correlation_id = self.call()
        second, other_id = self.call()
        first.addCallback(lambda _: second.cancel())
        self.reply(correlation_id)
        self.failureResultOf(second, CancelledError)
        self.reply(other_id)
        self.assertEqual(self.rpc.late, 1)

    def test_callback_may_cancel_its_own_call(self) -> None:
        calling, correlation_id = self.call()
        calling.addCallback(lambda _: calling.cancel())
        self.reply(correlation_id)
        self.successResultOf(calling)

    def test_callback_that_fails_costs_nobody_else_a_reply(self) -> None:
        first, correlation_id = self.call()
        first.addCallback(lambda _: 1 / 0)
        second, other_id = self.call()
        self.reply(correlation_id)
        self.reply(other_id)
        self.failureResultOf(first, ZeroDivisionError)
        self.successResultOf(second)

    def test_timed_out_call_may_call_again(self) -> None:
        first, _ = self.call(timeout=1)
        second: Deferred[bytes] = first.addErrback(lambda _: self.rpc.call("q", b"", timeout=1))
        self.reactor.advance(1)
        self.one_published()
        self.reactor.advance(1)
        self.failureResultOf(second, CallTimeout)
