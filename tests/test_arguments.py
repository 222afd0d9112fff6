"""`netdemo.broker.arguments`: what RabbitMQ 3.10.8 refuses, each text as it was seen there."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.arguments import (
    EXPIRY_LIMIT,
    KNOWN,
    QueueArguments,
    check_nameless,
    check_queue_type,
    parse_queue_arguments,
)
from netdemo.broker.tables import INTEGERS, Float, Integer, field
from netdemo.errors import PreconditionFailed, Unimplemented

VALUES: tuple[Any, ...] = (
    5,
    *(Integer(5, kind) for kind in sorted(INTEGERS)),
    Integer(5, "timestamp"),
    5.0,
    Float(5.0),
    Decimal("5"),
    True,
    "5",
    b"5",
    None,
    {"a": 1},
    [1],
    datetime(2020, 1, 1, tzinfo=UTC),
)
"""One value of each type."""

TIMES = ("x-message-ttl", "x-expires")
NUMBERS = ("x-max-length", "x-max-length-bytes", "x-max-priority", *TIMES)
QUORUM = {"x-queue-type": "quorum"}


class RefusalTestCase(SynchronousTestCase):
    """Tests of refusals."""

    def refused(self, check: Any, *arguments: Any) -> str:
        """Return the text in which something is refused."""
        error = self.assertRaises(PreconditionFailed, check, *arguments)
        return str(error.reply_text).removeprefix("PRECONDITION_FAILED - ")


class QueueTests(RefusalTestCase):
    """`parse_queue_arguments`."""

    def refusal(self, arguments: dict[str, Any]) -> str:
        """Return the text in which the arguments of queue ``q`` are refused."""
        return self.refused(parse_queue_arguments, "q", "/", arguments)

    def assert_invalid(self, argument: str, value: Any, text: str, **others: Any) -> None:
        """Check that a value is refused, and how."""
        self.assertEqual(
            self.refusal({argument: value, **others}),
            f"invalid arg '{argument}' for queue 'q' in vhost '/': {text}",
        )

    def test_nothing_told_is_as_in_rabbitmq(self) -> None:
        self.assertEqual(
            parse_queue_arguments("q", "/", {}),
            QueueArguments(
                message_ttl=None,
                expires=None,
                max_length=None,
                max_length_bytes=None,
                overflow="drop-head",
                dead_letter_exchange=None,
                dead_letter_routing_key=None,
                max_priority=None,
                single_active_consumer=False,
                queue_type="classic",
            ),
        )

    def test_everything_told_is_there(self) -> None:
        parsed = parse_queue_arguments(
            "q",
            "/",
            {
                "x-message-ttl": Integer(1, "long"),
                "x-expires": 2,
                "x-max-length": 3,
                "x-max-length-bytes": 4,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "k",
                "x-max-priority": Integer(5, "byte"),
                "x-single-active-consumer": True,
                "x-queue-type": "classic",
                "x-queue-mode": "lazy",
                "x-queue-version": 2,
                "x-queue-master-locator": "min-masters",
                "x-nobody-knows": [1],
            },
        )
        self.assertEqual(
            parsed, QueueArguments(1, 2, 3, 4, "reject-publish", "", "k", 5, True, "classic")
        )
        self.assertIs(type(parsed.message_ttl), int)

    def test_numbers_are_integers_of_any_width(self) -> None:
        for argument in (*NUMBERS, "x-queue-version"):
            for value in VALUES:
                kind = field(value)[0]
                if kind not in INTEGERS:
                    self.assert_invalid(argument, value, f'"expected integer, got {kind}"')
                elif argument != "x-queue-version":
                    parse_queue_arguments("q", "/", {argument: value})

    def test_texts_are_long_strings(self) -> None:
        for argument in ("x-overflow", "x-queue-mode", "x-queue-type", "x-dead-letter-routing-key"):
            for value in VALUES:
                kind = field(value)[0]
                if kind != "longstr":
                    self.assert_invalid(argument, value, f"{{unacceptable_type,{kind}}}")

    def test_the_dead_letter_exchange_has_words_of_its_own(self) -> None:
        for value in VALUES:
            kind = field(value)[0]
            if kind != "longstr":
                self.assertEqual(
                    self.refusal({"x-dead-letter-exchange": value}),
                    f"invalid type '{kind}' for arg 'x-dead-letter-exchange' in "
                    "queue 'q' in vhost '/'",
                )

    def test_single_active_consumer_is_true_or_false(self) -> None:
        for value in VALUES:
            kind = field(value)[0]
            if kind != "bool":
                self.assert_invalid(
                    "x-single-active-consumer", value, f"{{unacceptable_type,{kind}}}"
                )

    def test_no_number_is_negative(self) -> None:
        for argument in (*NUMBERS, "x-queue-version"):
            self.assert_invalid(argument, -1, "{value_negative,-1}")

    def test_nothing_stays_longer_than_ten_years(self) -> None:
        for argument in TIMES:
            parse_queue_arguments("q", "/", {argument: EXPIRY_LIMIT})
            self.assert_invalid(argument, EXPIRY_LIMIT + 1, "{value_too_large,315360000001}")

    def test_zero_is_enough_but_for_an_unused_queue(self) -> None:
        for argument in NUMBERS:
            if argument != "x-expires":
                parse_queue_arguments("q", "/", {argument: 0})
        self.assert_invalid("x-expires", 0, "{value_zero,0}")

    def test_priorities_end_at_255(self) -> None:
        parse_queue_arguments("q", "/", {"x-max-priority": 255})
        self.assert_invalid("x-max-priority", 256, "{max_value_exceeded,256}")

    def test_what_is_none_of_its_names(self) -> None:
        self.assert_invalid("x-overflow", "foo", "invalid_overflow")
        self.assert_invalid("x-queue-mode", "foo", "\"unsupported queue mode 'foo'\"")
        self.assert_invalid("x-queue-mode", '"\\', '"unsupported queue mode \'\\"\\\\\'"')
        self.assert_invalid("x-queue-type", "Classic", "\"unsupported queue type 'Classic'\"")
        self.assert_invalid("x-queue-type", "", "\"unsupported queue type ''\"")
        self.assert_invalid("x-queue-version", 3, "\"unsupported queue version '3'\"")

    def test_what_is_not_printable_is_a_list_of_numbers(self) -> None:
        numbers = ",".join(str(each) for each in "unsupported queue mode '€'".encode())
        self.assert_invalid("x-queue-mode", "€", f"[{numbers}]")

    def test_a_dead_letter_key_needs_an_exchange(self) -> None:
        self.assert_invalid("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined")

    def test_of_several_the_first_in_rabbitmqs_order_is_named(self) -> None:
        self.assert_invalid(
            "x-expires", "b", '"expected integer, got longstr"', **{"x-message-ttl": "a"}
        )
        self.assert_invalid(
            "x-queue-type", 1, "{unacceptable_type,signedint}", **{"x-message-ttl": "a"}
        )
        self.assertIn(
            "invalid type", self.refusal({"x-queue-type": 1, "x-dead-letter-exchange": 1})
        )

    def test_what_is_for_other_types_of_queues(self) -> None:
        for argument in (
            "x-max-age",
            "x-delivery-limit",
            "x-quorum-initial-group-size",
            "x-initial-cluster-size",
            "x-stream-max-segment-size-bytes",
            "x-max-in-memory-length",
            "x-max-in-memory-bytes",
            "x-dead-letter-strategy",
            "x-queue-leader-locator",
        ):
            self.assertEqual(
                self.refusal({argument: 1}),
                f"invalid arg '{argument}' for queue 'q' in vhost '/' "
                "of queue type rabbit_classic_queue",
            )

    def test_of_several_for_other_types_the_first_that_came_is_named(self) -> None:
        self.assertIn("'x-max-age'", self.refusal({"x-max-age": 1, "x-delivery-limit": 1}))
        self.assertIn("'x-delivery-limit'", self.refusal({"x-delivery-limit": 1, "x-max-age": 1}))

    def test_a_stream_is_not_there(self) -> None:
        error = self.assertRaises(
            Unimplemented, parse_queue_arguments, "q", "/", {"x-queue-type": "stream"}
        )
        self.assertEqual(
            error.reply_text,
            "NOT_IMPLEMENTED - queue 'q' in vhost '/' would be a stream",
        )

    @given(
        st.dictionaries(
            st.sampled_from([*KNOWN["classic"], *KNOWN["quorum"], "x-max-age", "other"]),
            st.sampled_from([*VALUES, -1, 0, "quorum", "classic", "lazy", "drop-head"]),
        )
    )
    def test_anything_is_parsed_or_refused(self, arguments: dict[str, Any]) -> None:
        try:
            parsed = parse_queue_arguments("q", "/", arguments)
        except PreconditionFailed:
            return
        self.assertEqual(parsed.queue_type, arguments.get("x-queue-type", "classic"))


class QuorumTests(RefusalTestCase):
    """Quorum queues."""

    def refusal(self, argument: str, value: Any) -> str:
        """Return the text in which an argument of quorum queue ``q`` is refused."""
        arguments = {**QUORUM, argument: value}
        return self.refused(parse_queue_arguments, "q", "/", arguments)

    def test_it_takes_its_own_arguments(self) -> None:
        arguments = {
            **QUORUM,
            "x-delivery-limit": "whatever",
            "x-max-in-memory-length": 0,
            "x-max-in-memory-bytes": 0,
            "x-dead-letter-strategy": "at-least-once",
            "x-quorum-initial-group-size": 1,
            "x-queue-leader-locator": "balanced",
            "x-max-length": 5,
        }
        parsed = parse_queue_arguments("q", "/", arguments)
        self.assertEqual(parsed, QueueArguments(queue_type="quorum", max_length=5))

    def test_its_own_arguments_are_checked(self) -> None:
        for argument, value, text in (
            ("x-max-in-memory-length", -1, "{value_negative,-1}"),
            ("x-max-in-memory-bytes", "b", '"expected integer, got longstr"'),
            ("x-dead-letter-strategy", "foo", "invalid_dlx_strategy"),
            ("x-dead-letter-strategy", 5, "{unacceptable_type,signedint}"),
            ("x-quorum-initial-group-size", 0, "{value_zero,0}"),
            ("x-quorum-initial-group-size", -1, "{value_negative,-1}"),
            ("x-queue-leader-locator", "foo", "invalid_queue_locator_arg"),
            ("x-queue-leader-locator", 5, "{unacceptable_type,signedint}"),
        ):
            self.assertEqual(
                self.refusal(argument, value),
                f"invalid arg '{argument}' for queue 'q' in vhost '/': {text}",
            )

    def test_arguments_of_classic_queues_are_refused(self) -> None:
        for argument in (
            "x-max-priority",
            "x-queue-mode",
            "x-queue-version",
            "x-queue-master-locator",
            "x-max-age",
        ):
            self.assertEqual(
                self.refusal(argument, 1),
                f"invalid arg '{argument}' for queue 'q' in vhost '/' "
                "of queue type rabbit_quorum_queue",
            )

    def test_it_is_durable_and_stays(self) -> None:
        check_queue_type("q", "/", "quorum", True, False, False)
        for durable, exclusive, auto_delete, what in (
            (False, False, False, "non-durable"),
            (False, True, False, "exclusive-owner"),
            (False, True, True, "auto-delete"),
            (True, False, True, "auto-delete"),
        ):
            self.assertEqual(
                self.refused(check_queue_type, "q", "/", "quorum", durable, exclusive, auto_delete),
                f"invalid property '{what}' for queue 'q' in vhost '/'",
            )
        check_queue_type("q", "/", "classic", False, True, True)

    def test_it_needs_a_name(self) -> None:
        for queue_type in ("quorum", "stream"):
            self.assertEqual(
                self.refused(check_nameless, {"x-queue-type": queue_type}),
                f"Cannot declare a server-named queue for type rabbit_{queue_type}_queue",
            )
        check_nameless({})
        check_nameless({"x-queue-type": "classic"})
