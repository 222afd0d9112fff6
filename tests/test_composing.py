"""`netdemo.bridge.composing`: the message that a record becomes, its key and headers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.address import QueueDestination
from netdemo.amqp.content import encode_publish
from netdemo.amqp.message import PERSISTENT, TRANSIENT
from netdemo.bridge.composing import HEADER_LIMIT, Composer
from netdemo.bridge.routes import FIRST_WORD, Member, PushRoute

if TYPE_CHECKING:
    from netdemo.amqp.message import Message

OWN = "own"
"""The destination's key."""


def composer(**options: Any) -> Composer:
    """Return that of a route with `options`."""
    return Composer(PushRoute(QueueDestination("q"), "tcp:7001", **options), OWN)


def key(record: bytes, key_from: str | Member = FIRST_WORD) -> str:
    """Return the routing key of `record`."""
    return composer(key_from=key_from).compose(record)[1]


def headers(record: bytes, *names: str) -> dict[str, Any] | None:
    """Return the headers that are members of `record` with `names`."""
    return compose(record, *names).headers


def compose(record: bytes, *names: str) -> Message:
    """Return the message of `record`, with the members with `names` for headers."""
    origins = tuple((name, Member(name)) for name in names)
    return composer(headers_from=origins).compose(record)[0]


class MessageTests(SynchronousTestCase):
    """What does not depend on the record."""

    def test_record_is_the_body_and_the_key_is_the_destinations(self) -> None:
        message, routing_key = composer().compose(b"a record")
        self.assertEqual((message.body, routing_key), (b"a record", OWN))
        self.assertEqual((message.headers, message.content_type), (None, None))
        self.assertEqual(message.delivery_mode, PERSISTENT)

    def test_each_has_an_id_of_its_own(self) -> None:
        ids = {composer().compose(b"same")[0].message_id for _ in range(10)}
        self.assertEqual(len(ids), 10)

    def test_content_type_and_transience_are_the_routes(self) -> None:
        message, _ = composer(content_type="text/plain", persistent=False).compose(b"")
        self.assertEqual((message.content_type, message.delivery_mode), ("text/plain", TRANSIENT))


class FirstWordTests(SynchronousTestCase):
    """A key from the first word."""

    def test_it_ends_at_white_space_and_stays_in_the_body(self) -> None:
        for record in (b"word rest", b"word\trest", b"word", b"word ", b"word\nrest"):
            message, routing_key = composer(key_from=FIRST_WORD).compose(record)
            self.assertEqual((message.body, routing_key), (record, "word"))

    def test_record_without_one_has_the_destinations(self) -> None:
        for record in (b"", b" ", b" word", b"\tword", b"\xff\xfe rest", b"\xed\xa0\x80 rest"):
            self.assertEqual(key(record), OWN, record)

    def test_word_of_255_bytes_is_a_key_and_a_longer_one_is_none(self) -> None:
        for word in ("x" * 255, "é" * 127 + "x"):
            self.assertEqual(key(word.encode() + b" rest"), word)
        for word in ("x" * 256, "é" * 128, "x" * 65536):
            self.assertEqual(key(word.encode() + b" rest"), OWN)

    def test_it_may_be_a_header_too(self) -> None:
        message, _ = composer(headers_from=(("h", FIRST_WORD),)).compose(b"word rest")
        self.assertEqual(message.headers, {"h": "word"})

    def test_key_that_costs_the_connection_is_none(self) -> None:
        """RabbitMQ 3.10 fails over such a key that is not its own."""
        for word in (b"amq.rabbitmq.reply-to.AAAA.BBBB", b"amq.rabbitmq.reply-to"):
            self.assertEqual(key(word), OWN)
            self.assertEqual(key(b'{"k": "%s"}' % word, Member("k")), OWN)


class MemberTests(SynchronousTestCase):
    """A key and headers from the members of a JSON object."""

    def test_text_and_numbers_are_keys(self) -> None:
        for value, expected in (("a.b", "a.b"), ("", ""), (7, "7"), (-1, "-1"), (1.5, "1.5")):
            self.assertEqual(key(json.dumps({"k": value}).encode(), Member("k")), expected)

    def test_other_values_are_none(self) -> None:
        for value in (None, True, False, [], ["a"], {}, {"a": 1}, 2**63, "x" * 256):
            self.assertEqual(key(json.dumps({"k": value}).encode(), Member("k")), OWN, value)

    def test_what_is_no_object_or_has_no_such_member_has_no_key(self) -> None:
        for record in (b"", b"word", b"[]", b'"k"', b"null", b'{"k"', b'{"l": "a"}', b"\xff{}"):
            self.assertEqual(key(record, Member("k")), OWN, record)

    def test_last_of_members_with_one_name_counts(self) -> None:
        self.assertEqual(key(b'{"k": "a", "k": "b"}', Member("k")), "b")
        self.assertEqual(key(b'{"k": "a", "k": null}', Member("k")), OWN)

    def test_half_of_a_surrogate_pair_is_none(self) -> None:
        for half in (b"\\ud800", b"\xed\xa0\x80"):
            record = b'{"k": "a%s"}' % half
            self.assertEqual(key(record, Member("k")), OWN)
            self.assertEqual(headers(record, "k"), None)

    def test_whole_surrogate_pair_is_text(self) -> None:
        self.assertEqual(key(b'{"k": "\\ud83d\\ude00"}', Member("k")), "\U0001f600")

    def test_deep_and_huge_values_are_none(self) -> None:
        deep = b'{"k": "a", "d": %s%s}' % (b"[" * 30_000, b"]" * 30_000)
        huge = b'{"k": "a", "d": %s}' % (b"9" * 60_000)
        for record in (deep, huge, deep[:30_000]):
            self.assertEqual(key(record, Member("k")), OWN)

    def test_text_numbers_and_truth_values_are_headers(self) -> None:
        value = {"a": "x", "b": 1, "d": True, "e": 2**63 - 1, "f": -(2**63)}
        self.assertEqual(headers(json.dumps(value).encode(), *value), value)

    def test_number_that_is_not_whole_is_text(self) -> None:
        self.assertEqual(headers(b'{"a": 21.50, "b": 1e3}', "a", "b"), {"a": "21.5", "b": "1000.0"})

    def test_what_amqp_can_not_carry_is_no_header(self) -> None:
        for value in (b"null", b"[]", b"{}", b"9223372036854775808", b"-9223372036854775809"):
            self.assertEqual(headers(b'{"h": %s, "i": 1}' % value, "h", "i"), {"i": 1})

    def test_longer_text_than_the_limit_is_no_header(self) -> None:
        for text, expected in (("x" * HEADER_LIMIT, 1), ("x" * (HEADER_LIMIT + 1), 0)):
            self.assertEqual(len(headers(b'{"h": "%s"}' % text.encode(), "h") or {}), expected)

    def test_what_is_no_number_is_no_header(self) -> None:
        for value in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"):
            self.assertEqual(headers(b'{"h": %s}' % value, "h"), None, value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
anything = st.binary() | st.builds(
    lambda value: json.dumps(value).encode(),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), json_values) | json_values,
)


class AnyRecordTests(SynchronousTestCase):
    """Whatever comes from TCP."""

    @settings(max_examples=500)
    @given(anything, st.sampled_from([FIRST_WORD, Member("a"), None]))
    def test_it_becomes_a_message_that_can_be_put_on_the_wire(
        self, record: bytes, key_from: str | Member | None
    ) -> None:
        origins = (("a", Member("a")), ("b", Member("b")), ("w", FIRST_WORD))
        message, routing_key = composer(key_from=key_from, headers_from=origins).compose(record)
        self.assertEqual(message.body, record)
        self.assertTrue(encode_publish(1, message, "", routing_key, True, 131072))
