"""`netdemo.amqp.rpc`: how a server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import spec
from twisted.internet.defer import CancelledError, Deferred

from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.amqp.consumer import Reject
from netdemo.amqp.message import PERSISTENT
from netdemo.amqp.rpc import ERROR_TYPE
from netdemo.errors import RemoteError
from tests.calling import CHANNEL, ServerTestCase

if TYPE_CHECKING:
    from netdemo.amqp.message import Delivery

DIRECT = "amq.rabbitmq.reply-to.g1h2AA.key"


def echo(delivery: Delivery) -> bytes:
    """Reply with the request."""
    return delivery.message.body


class ReplyTests(ServerTestCase):
    """What the handler returns goes back to who asked."""

    def test_result_goes_where_the_request_says_with_its_correlation_id(self) -> None:
        self.serve(echo)
        self.request(b"x")
        sent = self.one_published()
        self.assertEqual((sent.exchange, sent.routing_key, sent.body), ("", "caller", b"x"))
        self.assertEqual(sent.properties.correlation_id, "id")
        self.assertIsNone(sent.properties.type)
        self.assertTrue(sent.mandatory)

    def test_reply_lasts_as_long_as_its_request(self) -> None:
        self.serve(echo, prefetch=2)
        self.request(delivery_mode=PERSISTENT)
        self.request(tag=2)
        modes = [each.properties.delivery_mode for each in self.published()]
        self.assertEqual(modes, [PERSISTENT, None])

    def test_reply_to_a_caller_that_gave_no_correlation_id_has_none(self) -> None:
        self.serve(echo)
        self.request(correlation_id=None)
        self.assertIsNone(self.one_published().properties.correlation_id)

    def test_direct_reply_is_not_mandatory_since_it_would_always_come_back(self) -> None:
        self.serve(echo)
        self.request(reply_to=DIRECT)
        self.assertFalse(self.one_published().mandatory)

    def test_request_is_acknowledged_when_the_reply_is_confirmed_not_before(self) -> None:
        self.serve(echo)
        self.request(tag=7)
        self.assertEqual(self.answers(), [])
        self.confirm()
        (ack,) = self.answers()
        self.assertIsInstance(ack, spec.Basic.Ack)
        self.assertEqual(ack.delivery_tag, 7)

    def test_deferred_replies_when_it_fires(self) -> None:
        working: Deferred[bytes] = Deferred()
        self.serve(lambda _: working)
        self.request()
        self.assertEqual(self.published(), [])
        working.callback(b"done")
        self.assertEqual(self.one_published().body, b"done")

    def test_coroutine_replies_when_it_returns(self) -> None:
        working: Deferred[None] = Deferred()

        async def handler(delivery: Delivery) -> bytes:
            await working
            return delivery.message.body

        self.serve(handler)
        self.request(b"x")
        working.callback(None)
        self.assertEqual(self.one_published().body, b"x")

    def test_only_as_many_as_the_prefetch_are_in_hand(self) -> None:
        self.serve(lambda _: Deferred(), prefetch=3)
        (qos,) = [each for each in self.asked if isinstance(each, spec.Basic.Qos)]
        self.assertEqual(qos.prefetch_count, 3)

    def test_reply_to_a_caller_that_is_gone_is_counted_and_the_request_done(self) -> None:
        server = self.serve(echo)
        self.request()
        self.give_back(self.one_published())
        self.assertIsInstance(self.answers()[0], spec.Basic.Ack)
        self.assertEqual(server.gone, 1)


class ErrorTests(ServerTestCase):
    """A handler that fails is answered for, too."""

    def error(self) -> str:
        """Return the text of the one error reply that was published."""
        sent = self.one_published()
        self.assertEqual(sent.properties.type, ERROR_TYPE)
        self.assertEqual(sent.properties.correlation_id, "id")
        return sent.body.decode()

    def test_what_the_handler_raises_is_told_in_one_line_and_logged(self) -> None:
        def handler(_: Delivery) -> bytes:
            raise ValueError("not\na \x1b number " + "x" * 2000)

        self.serve(handler)
        self.request()
        text = self.error()
        self.assertTrue(text.startswith("ValueError: not a number xxx"), text)
        self.assertLessEqual(len(text), RemoteError.max_length)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.answers(), [])
        self.confirm()
        self.assertIsInstance(self.answers()[0], spec.Basic.Ack)

    def test_exception_that_has_no_text_is_told_all_the_same(self) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        def handler(_: Delivery) -> bytes:
            raise Broken

        self.serve(handler)
        self.request()
        self.assertTrue(self.error().startswith("Broken: "))
        self.flushLoggedErrors(Broken)

    def test_deferred_that_fails_is_told(self) -> None:
        working: Deferred[bytes] = Deferred()
        self.serve(lambda _: working)
        self.request()
        working.cancel()
        self.assertTrue(self.error().startswith("CancelledError"))
        self.flushLoggedErrors(CancelledError)

    def test_remote_error_is_told_in_its_own_words_and_not_logged(self) -> None:
        def handler(_: Delivery) -> bytes:
            raise RemoteError("no such\nuser: \udcff?")

        self.serve(handler)
        self.request()
        self.assertEqual(self.error(), "no such user: ?")
        self.assertFalse([line for line in self.logged if "handler" in line])

    def test_result_that_is_not_bytes_is_an_error(self) -> None:
        self.serve(lambda _: "text")  # type: ignore[arg-type,return-value]
        self.request()
        self.assertEqual(self.error(), "the handler returned str: expected bytes")

    def test_result_beyond_the_limit_is_an_error(self) -> None:
        self.serve(lambda _: bytes(11), max_reply=10)
        self.request()
        self.assertEqual(self.error(), "a reply of 11 bytes: expected at most 10")

    def test_reply_that_the_broker_does_not_take_is_followed_by_an_error(self) -> None:
        self.serve(echo)
        self.request()
        self.published()
        self.peer.send(spec.Channel.Close(406, "PRECONDITION_FAILED - too large", 0, 0), channel=2)
        self.reactor.advance(1)
        self.assertEqual(
            self.error(), "the reply could not be sent: PRECONDITION_FAILED - too large (406)"
        )
        self.confirm()
        self.assertIsInstance(self.answers()[0], spec.Basic.Ack)

    def test_nacked_reply_gives_the_request_a_second_chance_and_no_third(self) -> None:
        self.serve(echo)
        for number, redelivered in ((1, False), (2, True)):
            self.request(tag=number, redelivered=redelivered)
            self.published()
            self.peer.send(spec.Basic.Nack(number), channel=CHANNEL)
            (nack,) = self.answers()
            self.assertEqual((nack.delivery_tag, nack.requeue), (number, not redelivered))

    def test_handler_may_reject_the_request(self) -> None:
        def handler(_: Delivery) -> bytes:
            raise Reject(requeue=True)

        self.serve(handler)
        self.request()
        self.assertTrue(self.answers()[0].requeue)
        self.assertEqual(self.published(), [])


class UnanswerableTests(ServerTestCase):
    """Requests for which the handler is not run."""

    def test_without_a_reply_to_it_is_rejected(self) -> None:
        handled: list[Delivery] = []

        def handler(delivery: Delivery) -> bytes:
            handled.append(delivery)
            return b""

        self.serve(handler)
        for reply_to in (None, ""):
            self.request(reply_to=reply_to)
            (nack,) = self.answers()
            self.assertFalse(nack.requeue)
        self.assertEqual(handled, [])
        self.assertEqual(len([line for line in self.logged if "is rejected" in line]), 2)

    def internal_error(self) -> None:
        """End the connection as RabbitMQ does for a direct reply-to that it can't decode."""
        self.peer.send(spec.Connection.Close(541, "INTERNAL_ERROR", 0, 0))
        self.lose()
        self.let_in()

    def test_reply_to_that_costs_the_connection_does_so_once(self) -> None:
        self.serve(echo)
        self.request(reply_to=DIRECT)
        self.one_published()
        self.internal_error()
        self.assertEqual(self.published(), [])
        self.request(reply_to=DIRECT, redelivered=True)
        (nack,) = self.answers()
        self.assertFalse(nack.requeue)
        self.request(reply_to=DIRECT, correlation_id="another", tag=2)
        self.assertEqual(self.one_published().properties.correlation_id, "another")

    def test_reply_to_a_queue_costs_no_connection(self) -> None:
        self.serve(echo)
        self.request()
        self.published()
        self.internal_error()
        self.request(redelivered=True)
        self.assertEqual(self.one_published().body, b"request")


class LossTests(ServerTestCase):
    """The connection is lost while a request is in hand."""

    def setUp(self) -> None:
        super().setUp()
        self.working: list[Deferred[bytes]] = []

        def handler(_: Delivery) -> Deferred[bytes]:
            self.working.append(Deferred())
            return self.working[-1]

        self.server = self.serve(handler)
        self.request()

    def test_result_that_comes_meanwhile_is_sent_on_the_next_connection(self) -> None:
        self.lose()
        self.working[0].callback(b"first")
        self.let_in()
        self.request(redelivered=True, tag=5)
        sent = self.one_published()
        self.assertEqual((sent.routing_key, sent.body), ("caller", b"first"))
        self.assertEqual(len(self.working), 1)
        self.give_back(sent)
        self.assertEqual(self.answers(), [])
        self.assertEqual((len(self.working), self.server.gone), (2, 1))
        self.working[1].callback(b"second")
        self.confirm(2)
        self.assertEqual(self.answers()[0].delivery_tag, 5)

    def test_reply_under_way_is_not_sent_again_and_the_request_is_handled_again(self) -> None:
        self.working[0].callback(b"first")
        self.confirm()
        self.request(tag=2, reply_to=DIRECT)
        self.working[1].callback(b"second")
        self.published()
        self.lose()
        self.let_in()
        self.assertEqual(self.published(), [])
        self.request(redelivered=True, reply_to=DIRECT)
        self.working[2].callback(b"third")
        self.assertEqual(self.one_published().body, b"third")

    def test_stopping_waits_until_the_request_is_answered(self) -> None:
        stopping = self.client.stopService()
        self.peer.agree()
        self.working[0].callback(b"done")
        self.peer.agree()
        self.assertNoResult(stopping)
        self.confirm()
        methods = [type(each) for each in self.peer.agree()]
        self.assertIn(spec.Basic.Ack, methods)
        self.successResultOf(stopping)

    def test_stopped_before_it_is_answered_the_request_goes_back(self) -> None:
        stopping = self.client.stopService()
        self.reactor.advance(STOP_TIMEOUT)
        self.assertEqual(self.answers(), [])
        self.successResultOf(stopping)
        self.working[0].callback(b"done")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_removed_it_serves_no_more(self) -> None:
        self.server.remove()
        closed = [type(each) for each in self.peer.agree()]
        self.assertEqual(closed.count(spec.Channel.Close), 2)
        self.working[0].callback(b"done")
        self.assertEqual(self.published(), [])
