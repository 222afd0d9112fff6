"""`netdemo.broker.arguments`: consumers, exchanges, messages, as RabbitMQ 3.10.8 refuses them."""

from __future__ import annotations

from netdemo.broker.arguments import (
    EXPIRY_LIMIT,
    check_exchange_arguments,
    parse_consumer_arguments,
    parse_expiration,
)
from netdemo.broker.tables import INTEGERS, Integer, field
from tests.test_arguments import VALUES, RefusalTestCase


class ConsumerTests(RefusalTestCase):
    """`parse_consumer_arguments`."""

    def test_the_priority_is_any_integer(self) -> None:
        for value in (-1, 1 << 62, Integer(5, "byte")):
            priority = parse_consumer_arguments("q", "/", "classic", {"x-priority": value})
            self.assertEqual(priority, value)
        self.assertEqual(parse_consumer_arguments("q", "/", "classic", {}), 0)
        self.assertEqual(parse_consumer_arguments("q", "/", "quorum", {"other": 1}), 0)

    def test_another_priority_is_refused(self) -> None:
        for value in VALUES:
            kind = field(value)[0]
            if kind not in INTEGERS:
                self.assertEqual(
                    self.refused(
                        parse_consumer_arguments, "q", "/", "quorum", {"x-priority": value}
                    ),
                    "invalid arg 'x-priority' for queue 'q' in vhost '/': "
                    f'"expected integer, got {kind}"',
                )

    def test_what_is_for_other_queues_is_checked_or_refused(self) -> None:
        for queue_type, arguments, text in (
            (
                "classic",
                {"x-cancel-on-ha-failover": 1},
                "'x-cancel-on-ha-failover' for queue 'q' in vhost '/': "
                "{unacceptable_type,signedint}",
            ),
            (
                "classic",
                {"x-stream-offset": 1},
                "'x-stream-offset' for queue 'q' in vhost '/' of queue type rabbit_classic_queue",
            ),
            (
                "quorum",
                {"x-cancel-on-ha-failover": True},
                "'x-cancel-on-ha-failover' for queue 'q' in vhost '/' "
                "of queue type rabbit_quorum_queue",
            ),
        ):
            self.assertEqual(
                self.refused(parse_consumer_arguments, "q", "/", queue_type, arguments),
                f"invalid arg {text}",
            )


class ExchangeTests(RefusalTestCase):
    """`check_exchange_arguments`."""

    def test_the_alternate_is_a_text(self) -> None:
        for value in VALUES:
            arguments = {"alternate-exchange": value, "other": value}
            kind = field(value)[0]
            if kind == "longstr":
                check_exchange_arguments("x", "/", arguments)
            else:
                self.assertEqual(
                    self.refused(check_exchange_arguments, "x", "/", arguments),
                    f"invalid type '{kind}' for arg 'alternate-exchange' in "
                    "exchange 'x' in vhost '/'",
                )


class ExpirationTests(RefusalTestCase):
    """`parse_expiration`."""

    def test_milliseconds(self) -> None:
        for value, milliseconds in (
            ("0", 0),
            ("-0", 0),
            ("5", 5),
            ("+5", 5),
            ("00005", 5),
            ("315360000000", EXPIRY_LIMIT),
        ):
            self.assertEqual(parse_expiration(value), milliseconds)

    def test_what_is_no_number_is_refused(self) -> None:
        for value in ("", "a", " 5", "-", "+", "--1", "é", "٣"):
            self.assertEqual(
                self.refused(parse_expiration, value), f"invalid expiration '{value}': no_integer"
            )

    def test_what_is_more_than_a_number_is_refused(self) -> None:
        for value, rest in (
            ("1a", '"a"'),
            ("5 ", '" "'),
            ("5.0", '".0"'),
            ("1é", '"é"'),
            ("1€", "[226,130,172]"),
            ("1\0", "[0]"),
            ('1"', r'"\""'),
            ("1\n", r'"\n"'),
        ):
            self.assertEqual(
                self.refused(parse_expiration, value),
                f"invalid expiration '{value}': {{leftover_string,{rest}}}",
            )

    def test_a_number_that_can_not_be_is_refused(self) -> None:
        for value, text in (
            ("-1", "{value_negative,-1}"),
            ("315360000001", "{value_too_large,315360000001}"),
            ("9" * 18, f"{{value_too_large,{'9' * 18}}}"),
            ("9" * 19, f"{{value_too_large,\n{' ' * 43}{'9' * 19}}}"),
        ):
            self.assertEqual(
                self.refused(parse_expiration, value), f"invalid expiration '{value}': {text}"
            )

    def test_what_is_long_is_told_in_two_lines(self) -> None:
        for rest, text in (
            ("b" * 17, f'{{leftover_string,"{"b" * 17}"}}'),
            ("b" * 18, f'{{leftover_string,\n{" " * 43}"{"b" * 18}"}}'),
        ):
            self.assertEqual(
                self.refused(parse_expiration, f"1{rest}"), f"invalid expiration '1{rest}': {text}"
            )
