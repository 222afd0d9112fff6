"""`netdemo.bridge.serve`: requests go to a TCP server, and its records back as replies."""

from __future__ import annotations

from twisted.application.service import IService
from twisted.internet.error import ConnectionLost
from zope.interface.verify import verifyObject

from netdemo.amqp import Message
from netdemo.bridge.serve import ServerProtocol
from netdemo.errors import RemoteError
from tests.memory_clients import QUEUE
from tests.serving import ServeTestCase
from tests.wire import TCPWire

ENDED = "the connection to the server ended before its reply"


class ReplyTests(ServeTestCase):
    """A request is asked, and its answer is the reply."""

    def test_service_provides_its_interface(self) -> None:
        verifyObject(IService, self.route)

    def test_request_is_a_record_there_and_the_reply_a_record_back(self) -> None:
        wire = self.accept()
        call = self.call(b"a")
        self.assertEqual(wire.value(), b"a\n")
        self.answer(wire, b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")
        self.assertEqual((self.route.answered, self.route.failed), (1, 0))

    def test_no_part_of_a_request_waits_for_the_ack_of_another(self) -> None:
        protocol = ServerProtocol(self.route.pool)
        wire = TCPWire(protocol)
        protocol.makeConnection(wire)
        self.assertTrue(wire.no_delay)
        wire.end()

    def test_reply_may_come_in_pieces_and_end_with_crlf(self) -> None:
        wire = self.accept()
        call = self.call()
        for piece in (b"on", b"e", b"\r", b"\n"):
            self.assertNoResult(call)
            self.answer(wire, piece)
        self.assertEqual(self.successResultOf(call), b"one")

    def test_empty_reply_is_one(self) -> None:
        wire = self.accept()
        call = self.call()
        self.answer(wire, b"\n")
        self.assertEqual(self.successResultOf(call), b"")

    def test_next_request_is_not_asked_before_the_reply(self) -> None:
        wire = self.accept()
        first, second = self.call(b"a"), self.call(b"b")
        self.assertEqual(wire.value(), b"a\n")
        self.answer(wire, b"A\n")
        self.assertEqual(wire.value(), b"b\n")
        self.answer(wire, b"B\n")
        self.assertEqual(self.successResultOf(first), b"A")
        self.assertEqual(self.successResultOf(second), b"B")

    def test_request_waits_for_a_connection(self) -> None:
        call = self.call()
        wire = self.accept()
        self.assertEqual(wire.value(), b"a\n")
        self.answer(wire, b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")

    def test_request_is_taken_from_the_queue_when_it_can_be_asked_only(self) -> None:
        self.accept()
        for _ in range(3):
            self.call()
        self.assertEqual(self.ready(), 2)


class NetstringTests(ServeTestCase):
    """In another framing than lines."""

    framing = "netstring"

    def test_request_and_reply_are_framed(self) -> None:
        wire = self.accept()
        call = self.call(b"two\nlines")
        self.assertEqual(wire.value(), b"9:two\nlines,")
        self.answer(wire, b"3:x\ny,")
        self.assertEqual(self.successResultOf(call), b"x\ny")

    def test_malformed_reply_is_an_error(self) -> None:
        wire = self.accept()
        call = self.call()
        self.answer(wire, b"hello\n")
        self.failureResultOf(call, RemoteError)
        self.assertFalse(wire.connected)


class FailureTests(ServeTestCase):
    """What is no reply ends its connection, and is an error, or asked again."""

    def failed(self, reason: str) -> None:
        """Look at the error that the first call got."""
        error = self.failureResultOf(self.calls[0], RemoteError).value
        self.assertEqual(str(error), reason)
        self.assertEqual((self.route.answered, self.route.failed), (0, 1))
        self.assertIn(reason, self.logged[-1])

    def test_request_whose_connection_breaks_is_asked_again(self) -> None:
        call = self.call()
        self.end(self.accept())
        self.assertEqual((self.route.requeued, self.route.failed), (1, 0))
        self.assertIn("goes back to the queue", self.logged[-1])
        wire = self.accept()
        self.assertEqual(wire.value(), b"a\n")
        self.answer(wire, b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")

    def test_request_whose_connection_breaks_twice_is_an_error(self) -> None:
        self.call()
        self.end(self.accept())
        self.end(self.accept(), ConnectionLost())
        self.failed(f"{ENDED}: lost before its end")
        self.assertEqual(self.ready(), 0)
        self.advance(60)
        self.assertEqual(self.attempting(), 1)
        self.assertEqual(self.accept().value(), b"")

    def test_reply_that_breaks_off_is_none(self) -> None:
        self.call()
        for _ in range(2):
            wire = self.accept()
            self.answer(wire, b"A")
            self.end(wire)
        self.failed(f"{ENDED}: closed by the other side")

    def test_redelivered_request_is_asked_on_a_new_connection(self) -> None:
        wire = self.accept()
        for _ in range(2):
            self.call(b"good")
            self.answer(wire, b"fine\n")
        call = self.call(b"bad")
        self.end(wire)
        wire = self.accept()
        self.assertEqual(wire.value(), b"bad\n")
        self.answer(wire, b"fine\n")
        self.assertEqual(self.successResultOf(call), b"fine")

    def test_no_connection_in_time_is_an_error(self) -> None:
        self.call()
        for _ in range(51):
            if self.attempting():
                self.refuse()
            self.advance(0.1)
        self.failed("no connection to the server within 5 s")

    def test_connection_that_is_not_made_in_time_is_an_error(self) -> None:
        self.call()
        self.advance(4.9)
        self.assertNoResult(self.calls[0])
        self.advance(0.1)
        self.failed("no connection to the server within 5 s")

    def test_no_reply_in_time_is_an_error_and_a_late_one_nobodys(self) -> None:
        wire = self.accept()
        self.call()
        self.advance(4.9)
        self.assertTrue(wire.connected)
        self.advance(0.1)
        self.failed("no reply from the server within 5 s")
        self.assertFalse(wire.connected)
        later = self.call(b"b")
        wire.protocol.dataReceived(b"late\n")
        self.network.advance()
        self.assertNoResult(later)

    def test_second_record_is_an_error(self) -> None:
        wire = self.accept()
        self.call()
        self.answer(wire, b"A\nB\n")
        self.failed("bad reply from the server: it sent more than one record for a request")
        self.assertFalse(wire.connected)

    def test_beginning_of_a_second_record_is_an_error(self) -> None:
        wire = self.accept()
        self.call()
        self.answer(wire, b"A\nB")
        self.failed("bad reply from the server: it sent more than one record for a request")
        self.assertFalse(wire.connected)

    def test_reply_too_long_is_an_error(self) -> None:
        wire = self.accept()
        self.call()
        self.answer(wire, b"12345678901\n")
        self.failed("bad reply from the server: a record has at most 10 bytes here")
        self.assertFalse(wire.connected)

    def test_reply_without_end_is_an_error(self) -> None:
        wire = self.accept()
        self.call()
        self.answer(wire, b"1" * 100)
        self.failed("bad reply from the server: a record has at most 10 bytes here")
        self.assertFalse(wire.connected)

    def test_longest_reply_is_none(self) -> None:
        wire = self.accept()
        call = self.call()
        self.answer(wire, b"1234567890\n")
        self.assertEqual(self.successResultOf(call), b"1234567890")

    def test_what_was_not_asked_for_ends_the_connection_alone(self) -> None:
        wire = self.accept()
        self.answer(wire, b"220 welcome\n")
        self.assertFalse(wire.connected)
        self.assertIn("it sent something that it was not asked for", "".join(self.logged))
        call = self.call()
        wire = self.accept()
        self.answer(wire, b"A\n")
        self.assertEqual(self.successResultOf(call), b"A")

    def test_request_that_cant_be_framed_is_an_error_and_costs_no_connection(self) -> None:
        wire = self.accept()
        self.call(b"two\nlines")
        self.failed("bad request: a newline inside a record can't be sent as one line")
        self.assertTrue(wire.connected)
        self.assertEqual(wire.value(), b"")

    def test_request_without_reply_to_is_not_asked(self) -> None:
        wire = self.accept()
        self.result(self.client.publish(Message(b"a"), "", QUEUE))
        self.assertEqual((wire.value(), self.ready()), (b"", 0))

    def test_caller_that_is_gone_costs_nothing(self) -> None:
        wire = self.accept()
        call = self.call(b"a")
        call.cancel()
        self.answer(wire, b"A\n")
        later = self.call(b"b")
        self.answer(wire, b"B\n")
        self.assertEqual(self.successResultOf(later), b"B")
