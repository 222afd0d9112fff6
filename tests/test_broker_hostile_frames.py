"""Frames that are none, or can't follow: RabbitMQ's codes, and the client's end alone."""

from __future__ import annotations

from pika import spec

from netdemo.broker.properties import HEADERS
from netdemo.broker.wire import write_method
from netdemo.frames import BODY, HEADER, METHOD, frame
from tests.broker_peer import FRAME_MAX, BrokerPeer, BrokerPeerTestCase, content_header

PUBLISH = write_method(1, spec.Basic.Publish(routing_key="q"))
HUGE = b"\xff\xff\xff\xff"


def header(payload: bytes) -> bytes:
    """Return what begins a content, with a header of any kind."""
    return PUBLISH + frame(HEADER, 1, payload)


class FramesTests(BrokerPeerTestCase):
    """A client that breaks a rule, and one that keeps them all."""

    def setUp(self) -> None:
        super().setUp()
        self.good = self.connect()
        self.good.call(spec.Queue.Declare(queue="q", exclusive=True), spec.Confirm.Select())

    def code_for(self, data: bytes, peer: BrokerPeer | None = None) -> int:
        """Return the code with which these bytes end a connection; the other one works on."""
        peer = peer or self.connect()
        peer.send(data)
        (close,) = peer.methods()
        self.assertIsInstance(close, spec.Connection.Close, close)
        (ack,) = self.good.publish("q", b"still")
        self.assertIsInstance(ack.method, spec.Basic.Ack)
        return int(close.reply_code)

    def test_frame_without_its_end_is_an_error(self) -> None:
        self.assertEqual(501, self.code_for(PUBLISH[:-1] + b"\0"))

    def test_frame_that_is_too_long_is_an_error_at_its_head(self) -> None:
        for length in (HUGE, (FRAME_MAX + 1).to_bytes(4)):
            self.assertEqual(501, self.code_for(b"\x03\0\x01" + length + b"\0"))

    def test_frame_of_an_unknown_type_is_an_error(self) -> None:
        for kind in (0, 4, 9, 255):
            self.assertEqual(501, self.code_for(frame(kind, 1, b"abc")))

    def test_method_that_is_cut_off_or_goes_on_is_an_error(self) -> None:
        payload = PUBLISH[7:-1]
        for each in (b"", payload[:3], payload[:-1], payload + b"x"):
            self.assertEqual(501, self.code_for(frame(METHOD, 1, each)), each)

    def test_text_longer_than_its_frame_is_an_error(self) -> None:
        payload = b"\0\x32\0\x0a\0\0\xffq\0\0\0\0\0"
        self.assertEqual(501, self.code_for(frame(METHOD, 1, payload)))

    def test_table_longer_than_its_frame_is_an_error(self) -> None:
        declare = write_method(1, spec.Queue.Declare(queue="x"))[7:-5]
        self.assertIn(self.code_for(frame(METHOD, 1, declare + HUGE)), (501, 502))

    def test_body_and_header_without_a_method_can_not_come(self) -> None:
        self.assertEqual(505, self.code_for(frame(BODY, 1, b"x")))
        self.assertEqual(505, self.code_for(frame(HEADER, 1, content_header(1))))
        self.assertEqual(505, self.code_for(frame(BODY, 0, b"x")))

    def test_method_or_body_in_the_place_of_a_header_can_not_come(self) -> None:
        self.assertEqual(505, self.code_for(PUBLISH * 2))
        self.assertEqual(505, self.code_for(PUBLISH + frame(BODY, 1, b"x")))

    def test_method_in_the_place_of_a_body_can_not_come(self) -> None:
        self.assertEqual(505, self.code_for(header(content_header(5)) + PUBLISH))

    def test_header_of_another_class_can_not_come(self) -> None:
        for class_id in (0, 10, 61, 65535):
            code = self.code_for(header(content_header(0, class_id=class_id)))
            self.assertEqual(505, code)

    def test_header_that_is_cut_off_is_an_error(self) -> None:
        whole = content_header(0)
        for size in range(len(whole)):
            self.assertEqual(501, self.code_for(header(whole[:size])), size)

    def test_header_with_properties_that_can_not_be_read_is_an_error(self) -> None:
        for payload in (
            content_header(0, 1),  # more flags, which no class has
            content_header(0, 2),
            content_header(0, 1 << 15),  # a text that is not there
            content_header(0, 1 << 15, b"\xffabc"),
            content_header(0, 0, b"x"),
            content_header(0, HEADERS, HUGE),
            content_header(0, HEADERS, b"\0\0\0\x03\x01a?"),
            content_header(0, 0xFFFC),
        ):
            self.assertIn(self.code_for(header(payload)), (502, 541), payload)

    def test_body_longer_than_announced_ends_the_connection(self) -> None:
        code = self.code_for(header(content_header(3)) + frame(BODY, 1, b"four"))
        self.assertIn(code, (501, 502, 505))

    def test_empty_frames_before_a_body_are_passed_over(self) -> None:
        peer = self.connect()
        empty = frame(BODY, 1, b"") * 100
        peer.send(header(content_header(1)) + empty + frame(BODY, 1, b"x"))
        self.assertEqual(1, self.vhost.queue("q").count())

    def test_method_on_a_channel_that_is_not_open_is_an_error(self) -> None:
        for number in (2, 2047, 65535):
            get = write_method(number, spec.Basic.Get(queue="q"))
            self.assertEqual(504, self.code_for(get))

    def test_answers_that_nobody_asked_for_are_no_commands(self) -> None:
        for method in (spec.Queue.DeclareOk("q", 0, 0), spec.Basic.GetEmpty(), spec.Tx.CommitOk()):
            self.assertEqual(503, self.code_for(write_method(1, method)))

    def test_nothing_is_heeded_after_a_mistake(self) -> None:
        peer = self.connect()
        delete = write_method(1, spec.Queue.Declare(queue="more"))
        self.assertEqual(505, self.code_for(frame(BODY, 1, b"x") + delete, peer))
        peer.send(delete)
        self.assertEqual(b"", peer.unread)
        self.assertEqual(["q"], list(self.vhost.queues))

    def test_who_does_not_answer_a_close_is_cut(self) -> None:
        peer = self.connect()
        self.code_for(frame(BODY, 1, b"x"), peer)
        self.assertFalse(peer.closed)
        self.clock.advance(30)
        self.assertTrue(peer.closed)
