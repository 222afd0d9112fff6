"""`netdemo.broker.header_matching`: what bindings of a headers exchange ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties
from pika.frame import Header
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.exchanges import Exchange
from netdemo.broker.message import Message
from netdemo.errors import PreconditionFailed

NAMES = st.sampled_from(["a", "b", "x-a", "x"])
VALUES = st.sampled_from([0, 1, "", "1", "a", b"a", True, False, None, [1], {"a": 1}])
TABLES = st.dictionaries(NAMES, VALUES, max_size=3)
X_MATCH = st.sampled_from([None, "all", "any", "all-with-x", "any-with-x"])


def message(headers: dict[str, Any] | None) -> Message:
    """Return a message with headers."""
    frame = Header(1, 0, BasicProperties(headers=headers)).marshal()
    return Message("x", "", frame[7:-1], b"")


def fits(arguments: dict[str, Any], headers: dict[str, Any] | None) -> bool:
    """Tell whether a message with headers goes to a destination bound with arguments."""
    on: Exchange[str] = Exchange("x", "headers", True, False, False, {})
    on.bind("q", "", arguments)
    return on.match("", message(headers)) == ("q",)


def plainly_fits(x_match: str | None, asked: dict[str, Any], headers: dict[str, Any]) -> bool:
    """Tell it in the plainest way."""
    each_fits = [
        name in headers and (value is None or _as_told(value) == _as_told(headers[name]))
        for name, value in asked.items()
        if "with-x" in (x_match or "") or not name.startswith("x-")
    ]
    return any(each_fits) if (x_match or "").startswith("any") else all(each_fits)


def _as_told(value: Any) -> str:
    return repr(value.encode() if isinstance(value, str) else value)


class ConditionTests(SynchronousTestCase):
    """Which messages a binding asks for."""

    def test_all_is_asked_for_unless_told(self) -> None:
        for arguments in ({"a": 1, "b": 2}, {"a": 1, "b": 2, "x-match": "all"}):
            self.assertTrue(fits(arguments, {"a": 1, "b": 2, "c": 3}))
            self.assertFalse(fits(arguments, {"a": 1}))
            self.assertFalse(fits(arguments, {"a": 1, "b": 1}))

    def test_any_is_enough_when_told(self) -> None:
        arguments = {"a": 1, "b": 2, "x-match": "any"}
        self.assertTrue(fits(arguments, {"b": 2}))
        self.assertFalse(fits(arguments, {"a": 2, "b": 1}))

    def test_all_of_nothing_is_everything_and_any_of_nothing_is_none(self) -> None:
        for headers in ({}, {"a": 1}, None):
            self.assertTrue(fits({}, headers))
            self.assertTrue(fits({"x-match": "all-with-x"}, headers))
            self.assertFalse(fits({"x-match": "any"}, headers))

    def test_names_with_x_count_when_told(self) -> None:
        asked = {"x-a": 1}
        self.assertTrue(fits({**asked, "x-match": "all"}, {}))
        self.assertFalse(fits({**asked, "x-match": "all-with-x"}, {}))
        self.assertTrue(fits({**asked, "x-match": "all-with-x"}, {"x-a": 1}))
        self.assertFalse(fits({**asked, "x-match": "any"}, {"x-a": 1}))
        self.assertTrue(fits({**asked, "x-match": "any-with-x"}, {"x-a": 1}))

    def test_what_is_void_asks_that_it_is_there(self) -> None:
        for value in (0, "", None, False):
            self.assertTrue(fits({"a": None}, {"a": value}))
        self.assertFalse(fits({"a": None}, {"b": 1}))
        self.assertFalse(fits({"a": 1}, {"a": None}))

    def test_texts_are_texts_and_numbers_numbers(self) -> None:
        self.assertTrue(fits({"a": "text"}, {"a": b"text"}))
        self.assertTrue(fits({"a": 5}, {"a": datetime.fromtimestamp(5, UTC)}))
        self.assertTrue(fits({"a": Decimal("1.5")}, {"a": Decimal("1.5")}))
        self.assertTrue(fits({"a": {"b": [1]}}, {"a": {"b": [1]}}))
        self.assertFalse(fits({"a": 1}, {"a": "1"}))
        self.assertFalse(fits({"a": 1}, {"a": True}))
        self.assertFalse(fits({"a": Decimal("1.5")}, {"a": 1}))

    @given(X_MATCH, TABLES, TABLES)
    def test_any_binding_asks_for_what_it_says(
        self, x_match: str | None, asked: dict[str, Any], headers: dict[str, Any]
    ) -> None:
        arguments = asked if x_match is None else {**asked, "x-match": x_match}
        self.assertEqual(fits(arguments, headers), plainly_fits(x_match, asked, headers))


class BindingTests(SynchronousTestCase):
    """Several bindings."""

    def setUp(self) -> None:
        self.exchange: Exchange[str] = Exchange("x", "headers", True, False, False, {})

    def test_a_destination_of_many_bindings_that_fit_is_there_once(self) -> None:
        self.exchange.bind("q", "", {"a": 1})
        self.exchange.bind("q", "", {})
        self.exchange.bind("other", "", {})
        self.assertEqual(self.exchange.match("", message({"a": 1})), ("q", "other"))

    def test_a_binding_with_another_key_asks_on_when_one_is_gone(self) -> None:
        self.exchange.bind("q", "one", {"a": 1})
        self.exchange.bind("q", "other", {"a": 1})
        self.exchange.unbind("q", "one", {"a": 1})
        self.assertEqual(self.exchange.match("", message({"a": 1})), ("q",))
        self.exchange.unbind("q", "other", {"a": 1})
        self.assertEqual(self.exchange.match("", message({"a": 1})), ())


class RefusalTests(SynchronousTestCase):
    """An ``x-match`` that is none is refused in RabbitMQ's words."""

    def refusal(self, x_match: Any) -> str:
        """Return the text in which a binding is refused."""
        error = self.assertRaises(PreconditionFailed, fits, {"x-match": x_match}, {})
        return str(error.reply_text).removeprefix("PRECONDITION_FAILED - ")

    def test_another_text(self) -> None:
        for x_match, shown in (
            ("foo", '<<"foo">>'),
            ("", "<<>>"),
            ("é", '<<"é">>'),
            ("€", "<<226,130,172>>"),
            ("a\0b", "<<97,0,98>>"),
            ('"\\', r'<<"\"\\">>'),
        ):
            self.assertEqual(
                self.refusal(x_match),
                f"Invalid x-match field value {shown}; "
                "expected all, any, all-with-x, or any-with-x",
            )

    def test_another_type(self) -> None:
        for x_match, kind, shown in (
            (b"all", "binary", '<<"all">>'),
            (5, "signedint", "5"),
            (1 << 40, "long", "1099511627776"),
            (True, "bool", "true"),
            (None, "void", "undefined"),
            (Decimal("1.25"), "decimal", "{2,125}"),
            (datetime(2020, 1, 1, tzinfo=UTC), "timestamp", "1577836800"),
            ({"a": 1}, "table", '[{<<"a">>,signedint,1}]'),
            ([1, "a"], "array", '[{signedint,1},{longstr,<<"a">>}]'),
        ):
            self.assertEqual(
                self.refusal(x_match),
                f"Invalid x-match field type {kind} (value {shown}); expected longstr",
            )
