"""`netdemo.amqp.rpc`: what becomes of calls when a channel, a connection or the client ends."""

from __future__ import annotations

from pika import spec
from twisted.internet.defer import CancelledError, Deferred

from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.amqp.window import WINDOW_BYTES
from netdemo.errors import CallTimeout, NotSentError, OutcomeUnknownError
from tests.calling import CHANNEL, CallerTestCase

LARGE = bytes(WINDOW_BYTES)
"""After it nothing is sent until it is confirmed."""


class LossTests(CallerTestCase):
    """The connection or the channel is lost."""

    def test_what_was_sent_fails_confirmed_or_not_and_is_not_sent_again(self) -> None:
        confirmed, _ = self.call()
        self.confirm()
        sent, _ = self.call()
        self.lose()
        for each in (confirmed, sent):
            error = self.failureResultOf(each, OutcomeUnknownError).value
            self.assertEqual(error.message.body, b"request")
        self.let_in()
        self.assertEqual(self.published(), [])

    def test_what_had_no_room_yet_is_sent_on_the_next_connection(self) -> None:
        sent, waiting = self.begin(LARGE), self.begin(b"waiting")
        self.lose()
        self.failureResultOf(sent, OutcomeUnknownError)
        self.published()
        self.let_in()
        request = self.one_published()
        self.assertEqual(request.body, b"waiting")
        self.reply(request.properties.correlation_id)
        self.assertEqual(self.successResultOf(waiting), b"reply")

    def test_what_had_no_room_when_it_ended_is_never_sent(self) -> None:
        self.begin(LARGE)
        cancelled, late = self.begin(), self.begin(timeout=1)
        self.published()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.reactor.advance(1)
        self.failureResultOf(late, CallTimeout)
        self.confirm()
        self.assertEqual(self.published(), [])

    def test_errback_that_removes_the_caller_fails_what_had_no_room(self) -> None:
        sent, waiting = self.begin(LARGE), self.begin()
        sent.addErrback(lambda _: self.client.remove(self.rpc))
        self.lose()
        self.failureResultOf(waiting, NotSentError)
        self.client.add(self.rpc)
        self.let_in()
        self.assertEqual(self.published(), [])

    def test_late_reply_of_an_earlier_connection_is_late(self) -> None:
        calling, correlation_id = self.call()
        self.lose()
        self.failureResultOf(calling, OutcomeUnknownError)
        self.let_in()
        self.reply(correlation_id)
        self.assertEqual(self.rpc.late, 1)

    def test_call_that_alone_costs_the_channel_was_not_sent(self) -> None:
        calling, _ = self.call(exchange="nowhere")
        self.close_channel()
        error = self.failureResultOf(calling, NotSentError).value
        self.assertEqual((error.reply_text, error.reply_code), ("NOT_FOUND", 404))

    def test_calls_beside_one_that_costs_the_channel_fail_and_are_not_sent_again(self) -> None:
        confirmed, _ = self.call()
        self.confirm()
        calls = [confirmed, self.begin(exchange="nowhere"), self.begin()]
        self.published()
        self.close_channel()
        for each in calls:
            self.failureResultOf(each, OutcomeUnknownError)
        self.assertEqual(self.published(), [])
        calling, correlation_id = self.call()
        self.reply(correlation_id)
        self.successResultOf(calling)

    def test_consumer_of_replies_that_is_cancelled_is_followed_by_another(self) -> None:
        calling, _ = self.call()
        self.confirm()
        self.peer.send(spec.Basic.Cancel(self.tag), channel=CHANNEL)
        self.peer.agree()
        self.failureResultOf(calling, OutcomeUnknownError)
        self.reactor.advance(1)
        self.assertIn(spec.Basic.Consume, [type(each) for each in self.peer.agree()])

    def test_errback_may_call_again_for_the_next_connection(self) -> None:
        first, _ = self.call()
        self.confirm()
        second = first.addErrback(lambda _: self.begin(b"again"))
        self.lose()
        self.let_in()
        request = self.one_published()
        self.assertEqual(request.body, b"again")
        self.reply(request.properties.correlation_id)
        self.successResultOf(second)

    def test_errback_may_cancel_another_call(self) -> None:
        for confirmed in (True, False):
            first, _ = self.call()
            second, _ = self.call()
            if confirmed:
                self.confirm(2)
            first.addErrback(_cancel, second)
            self.lose()
            self.failureResultOf(second, CancelledError)
            self.let_in()

    def test_errback_may_remove_the_caller(self) -> None:
        first, _ = self.call()
        second, _ = self.call()
        self.confirm(2)
        first.addErrback(lambda _: self.client.remove(self.rpc))
        self.lose()
        self.successResultOf(first)
        self.failureResultOf(second, OutcomeUnknownError)
        self.failureResultOf(self.begin(), NotSentError)

    def test_first_of_those_that_waited_may_remove_the_caller_as_it_fails(self) -> None:
        self.peer.wire.end()
        bad, good = self.begin(queue="q" * 256), self.begin()
        bad.addErrback(lambda _: self.client.remove(self.rpc))
        self.reactor.advance(1)
        self.accept()
        self.successResultOf(bad)
        self.failureResultOf(good, NotSentError)
        self.assertEqual(self.published(), [])

    def test_first_of_those_that_waited_may_cancel_the_next_as_it_fails(self) -> None:
        self.peer.wire.end()
        bad, good = self.begin(queue="q" * 256), self.begin()
        bad.addErrback(lambda _: good.cancel())
        self.reactor.advance(1)
        self.let_in()
        self.failureResultOf(good, CancelledError)
        self.assertEqual(self.published(), [])


def _cancel(_: object, calling: Deferred[bytes]) -> None:
    calling.cancel()


class QueueOfItsOwnTests(CallerTestCase):
    """A caller that is not direct."""

    direct = False

    def test_what_had_no_room_asks_for_replies_to_the_next_channels_queue(self) -> None:
        sent, waiting = self.begin(LARGE, exchange="nowhere"), self.begin()
        (request,) = self.published()
        self.assertEqual(request.properties.reply_to, "amq.gen-1")
        self.close_channel()
        self.failureResultOf(sent, NotSentError)
        request = self.one_published()
        self.assertEqual(request.properties.reply_to, "amq.gen-2")
        self.reply(request.properties.correlation_id)
        self.successResultOf(waiting)

    def test_what_waited_asks_for_replies_to_the_new_connections_queue(self) -> None:
        self.assertEqual(self.peer.agreed[-1].method.NAME, "Confirm.Select")
        self.lose()
        calling = self.begin()
        self.let_in()
        sent = self.one_published()
        self.assertEqual(sent.properties.reply_to, "amq.gen-1")
        self.reply(sent.properties.correlation_id)
        self.successResultOf(calling)


class StoppingTests(CallerTestCase):
    """The client is stopped."""

    def test_stopping_waits_for_the_replies(self) -> None:
        calling, correlation_id = self.call()
        stopping = self.client.stopService()
        self.peer.agree()
        self.assertNoResult(stopping)
        self.reply(correlation_id)
        self.assertEqual(self.successResultOf(calling), b"reply")
        self.confirm()
        self.peer.agree()
        self.successResultOf(stopping)

    def test_stopping_waits_no_longer_for_a_call_that_is_cancelled(self) -> None:
        calling, _ = self.call()
        self.confirm()
        stopping = self.client.stopService()
        calling.cancel()
        self.peer.agree()
        self.successResultOf(stopping)
        self.failureResultOf(calling, CancelledError)

    def test_what_has_no_reply_in_its_time_fails(self) -> None:
        calling, _ = self.call()
        self.confirm()
        stopping = self.client.stopService()
        self.reactor.advance(STOP_TIMEOUT)
        self.peer.agree()
        self.successResultOf(stopping)
        self.failureResultOf(calling, OutcomeUnknownError)

    def test_what_was_never_sent_fails(self) -> None:
        self.peer.wire.end()
        calling = self.begin()
        stopping = self.client.stopService()
        self.reactor.advance(STOP_TIMEOUT)
        self.successResultOf(stopping)
        self.failureResultOf(calling, NotSentError)

    def test_errback_may_cancel_another_that_was_never_sent(self) -> None:
        self.peer.wire.end()
        first, second = self.begin(), self.begin()
        first.addErrback(_cancel, second)
        self.client.remove(self.rpc)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_stopped_it_takes_no_calls_until_it_is_started_again(self) -> None:
        stopping = self.client.stopService()
        self.peer.agree()
        self.successResultOf(stopping)
        self.failureResultOf(self.begin(), NotSentError)
        self.client.startService()
        self.let_in()
        calling, correlation_id = self.call()
        self.reply(correlation_id)
        self.successResultOf(calling)

    def test_errback_that_calls_again_when_it_is_stopped_fails_again(self) -> None:
        first, _ = self.call()
        self.confirm()
        second: Deferred[bytes] = first.addErrback(lambda _: self.begin(timeout=1))
        stopping = self.client.stopService()
        self.reactor.advance(STOP_TIMEOUT)
        self.peer.agree()
        self.successResultOf(stopping)
        self.failureResultOf(second, NotSentError, CallTimeout)

    def test_removed_it_fails_what_it_has(self) -> None:
        calling, _ = self.call()
        self.client.remove(self.rpc)
        self.failureResultOf(calling, OutcomeUnknownError)
        self.failureResultOf(self.begin(), NotSentError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
