"""`netdemo.broker.equivalence`: what is the same to RabbitMQ 3.10.8, and what it says if not."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.equivalence import check_equivalent_exchange, check_equivalent_queue
from netdemo.broker.exchanges import Exchange
from netdemo.broker.tables import Integer
from netdemo.errors import PreconditionFailed

TTL = "x-message-ttl"
QUORUM = {"x-queue-type": "quorum"}


@attrs.frozen
class Queue:
    """A queue that is there."""

    name: str
    durable: bool
    auto_delete: bool
    arguments: dict[str, Any]


def declare_again(
    current: dict[str, Any],
    received: dict[str, Any],
    was: tuple[bool, bool] = (True, False),
    now: tuple[bool, bool] = (True, False),
) -> str:
    """Return what is said of a queue that was declared otherwise; flags: durable, auto_delete."""
    try:
        check_equivalent_queue(Queue("q", *was, current), "/", *now, received)
    except PreconditionFailed as refusal:
        start = "PRECONDITION_FAILED - inequivalent arg "
        return refusal.reply_text.removeprefix(start).replace(" for queue 'q' in vhost '/'", "")
    return ""


class QueueTests(SynchronousTestCase):
    """`check_equivalent_queue`."""

    def test_the_whole_text(self) -> None:
        error = self.assertRaises(
            PreconditionFailed,
            check_equivalent_queue,
            Queue("q", False, False, {}),
            "/",
            True,
            False,
            {},
        )
        self.assertEqual(
            error.reply_text,
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': "
            "received 'true' but current is 'false'",
        )

    def test_flags_come_first(self) -> None:
        self.assertEqual(
            declare_again({TTL: 1}, {}, (False, False), (True, True)),
            "'durable': received 'true' but current is 'false'",
        )
        self.assertEqual(
            declare_again({TTL: 1}, {}, (True, True), (True, False)),
            "'auto_delete': received 'false' but current is 'true'",
        )

    def test_what_is_told_once(self) -> None:
        for value, text in (
            (10, "the value '10' of type 'signedint'"),
            (Integer(10, "long"), "the value '10' of type 'long'"),
            (1.5, "the value '1.5' of type 'double'"),
            ("é€\n", "the value 'é€\n' of type 'longstr'"),
            (b"a", "the value 'a' of type 'binary'"),
            (False, "the value 'false' of type 'bool'"),
            (None, "the value 'undefined' of type 'void'"),
            ([1], "the value '[{signedint,1}]' of type 'array'"),
            ({"a": 1}, "the value '[{<<\"a\">>,signedint,1}]' of type 'table'"),
        ):
            self.assertEqual(
                declare_again({TTL: value}, {}), f"'{TTL}': received none but current is {text}"
            )
            self.assertEqual(
                declare_again({}, {TTL: value}), f"'{TTL}': received {text} but current is none"
            )

    def test_what_is_told_otherwise(self) -> None:
        for value, text in (
            (20, "'20'"),
            (Integer(20, "long"), "'20'"),
            ("10", "'10'"),
            (b"10", "'10'"),
            (10.0, "'10.0'"),
            (1e10, "'1.0e10'"),
            (None, "none"),
            (True, "'true'"),
            ([1], "'[{signedint,1}]'"),
        ):
            self.assertEqual(
                declare_again({TTL: 10}, {TTL: value}),
                f"'{TTL}': received {text} but current is '10'",
            )

    def test_types_alone_make_no_difference(self) -> None:
        for current, received in (
            (10, Integer(10, "long")),
            (10, Integer(10, "timestamp")),
            ("a", b"a"),
            ([], {}),
            (None, None),
        ):
            self.assertEqual(declare_again({TTL: current}, {TTL: received}), "")

    def test_of_several_the_first_in_rabbitmqs_order_is_named(self) -> None:
        received = {"x-max-length": 5, "x-dead-letter-exchange": "x", TTL: 5}
        self.assertIn("'x-message-ttl'", declare_again({}, received))
        self.assertIn("'x-expires'", declare_again({}, {**received, "x-expires": 5}))

    def test_what_rabbitmq_does_not_know_makes_no_difference(self) -> None:
        self.assertEqual(declare_again({"x-other": 1}, {"x-another": 2, "x-max-age": 5}), "")

    def test_what_changes_nothing_must_be_told_again_all_the_same(self) -> None:
        for argument, value in (
            ("x-overflow", "drop-head"),
            ("x-queue-mode", "default"),
            ("x-queue-master-locator", "min-masters"),
            ("x-single-active-consumer", False),
            ("x-dead-letter-exchange", "classic"),
        ):
            self.assertIn("current is none", declare_again({}, {argument: value}))

    def test_classic_may_be_told_or_not(self) -> None:
        classic = {"x-queue-type": "classic"}
        self.assertEqual(declare_again({}, classic), "")
        self.assertEqual(declare_again(classic, {}), "")
        self.assertEqual(
            declare_again({}, QUORUM),
            "'x-queue-type': received the value 'quorum' of type 'longstr' but current is none",
        )
        self.assertEqual(
            declare_again(QUORUM, classic),
            "'x-queue-type': received 'classic' but current is 'quorum'",
        )

    def test_the_arguments_of_its_type_are_compared(self) -> None:
        self.assertEqual(
            declare_again(QUORUM, {**QUORUM, "x-delivery-limit": 3}),
            "'x-delivery-limit': received the value '3' of type 'signedint' but current is none",
        )
        self.assertEqual(declare_again(QUORUM, {**QUORUM, "x-max-priority": 3}), "")


class ExchangeTests(SynchronousTestCase):
    """`check_equivalent_exchange`."""

    def difference(self, *received: Any) -> str:
        """Return what is said of a direct exchange, with an alternate, that was declared so."""
        arguments = {"alternate-exchange": "a", "other": 1}
        on: Exchange[str] = Exchange("x", "direct", False, False, False, arguments)
        try:
            check_equivalent_exchange(on, "/", *received)
        except PreconditionFailed as refusal:
            start = "PRECONDITION_FAILED - inequivalent arg "
            return refusal.reply_text.removeprefix(start)
        return ""

    def test_each_difference_in_rabbitmqs_order(self) -> None:
        for received, name, text in (
            (("topic", True, True, True, {}), "type", "'topic' but current is 'direct'"),
            (("direct", True, True, True, {}), "durable", "'true' but current is 'false'"),
            (("direct", False, True, True, {}), "auto_delete", "'true' but current is 'false'"),
            (("direct", False, False, True, {}), "internal", "'true' but current is 'false'"),
            (
                ("direct", False, False, False, {}),
                "alternate-exchange",
                "none but current is the value 'a' of type 'longstr'",
            ),
            (
                ("direct", False, False, False, {"alternate-exchange": 5}),
                "alternate-exchange",
                "'5' but current is 'a'",
            ),
        ):
            self.assertEqual(
                self.difference(*received),
                f"'{name}' for exchange 'x' in vhost '/': received {text}",
            )

    def test_other_arguments_make_no_difference(self) -> None:
        arguments = {"alternate-exchange": b"a", "another": 2}
        self.assertEqual(self.difference("direct", False, False, False, arguments), "")
