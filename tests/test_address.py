"""Destinations in text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.address import (
    EXPECTED,
    Destination,
    ExchangeDestination,
    QueueDestination,
    parse_destination,
)
from netdemo.errors import AddressError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
    lambda name: len(name.encode()) <= 255
)
KEYS = st.just("") | NAMES

DESTINATIONS: st.SearchStrategy[Destination] = st.one_of(
    st.builds(QueueDestination, NAMES, st.booleans()),
    st.builds(ExchangeDestination, NAMES, KEYS),
    st.builds(ExchangeDestination, st.just("amq.topic"), NAMES),
)


class ParseTests(SynchronousTestCase):
    """What the forms mean."""

    def test_queue_is_declared(self) -> None:
        self.assertEqual(QueueDestination("log", declare=True), parse_destination("/queue/log"))

    def test_amq_queue_is_not_declared(self) -> None:
        self.assertEqual(
            QueueDestination("log", declare=False), parse_destination("/amq/queue/log")
        )

    def test_topic_is_a_key_of_the_topic_exchange(self) -> None:
        self.assertEqual(
            ExchangeDestination("amq.topic", "log.*.#"), parse_destination("/topic/log.*.#")
        )

    def test_exchange_and_key_are_apart(self) -> None:
        self.assertEqual(
            ExchangeDestination("logs", "info"), parse_destination("/exchange/logs/info")
        )

    def test_exchange_may_have_an_empty_key(self) -> None:
        self.assertEqual(ExchangeDestination("logs", ""), parse_destination("/exchange/logs/"))

    def test_exchange_without_key_has_an_empty_one(self) -> None:
        self.assertEqual(ExchangeDestination("logs", ""), parse_destination("/exchange/logs"))

    def test_escaped_slash_is_part_of_the_name(self) -> None:
        self.assertEqual(QueueDestination("a/b"), parse_destination("/queue/a%2Fb"))

    def test_escaped_slashes_are_part_of_exchange_and_key(self) -> None:
        self.assertEqual(
            ExchangeDestination("a/b", "c/d"), parse_destination("/exchange/a%2fb/c%2Fd")
        )

    def test_name_of_255_bytes_is_taken(self) -> None:
        self.assertEqual(QueueDestination("x" * 255), parse_destination("/queue/" + "x" * 255))

    def test_escapes_count_as_the_bytes_they_stand_for(self) -> None:
        self.assertEqual(QueueDestination("/" * 255), parse_destination("/queue/" + "%2F" * 255))


class TextTests(SynchronousTestCase):
    """Destinations as text again."""

    def test_queue_is_written_as_it_is_read(self) -> None:
        self.assertEqual("/queue/log", str(QueueDestination("log")))

    def test_queue_that_is_not_ours_is_an_amq_queue(self) -> None:
        self.assertEqual("/amq/queue/log", str(QueueDestination("log", declare=False)))

    def test_topic_keeps_its_wildcards(self) -> None:
        self.assertEqual("/topic/log.*.#", str(ExchangeDestination("amq.topic", "log.*.#")))

    def test_exchange_is_written_with_its_key(self) -> None:
        self.assertEqual("/exchange/logs/info", str(ExchangeDestination("logs", "info")))

    def test_slash_and_at_are_escaped(self) -> None:
        self.assertEqual("/queue/a%2Fb%40c", str(QueueDestination("a/b@c")))

    @settings(deadline=None)
    @given(DESTINATIONS)
    def test_text_is_read_back_as_the_same(self, destination: Destination) -> None:
        self.assertEqual(destination, parse_destination(str(destination)))

    def test_topic_exchange_with_an_empty_key_is_read_back_as_the_same(self) -> None:
        destination = parse_destination("/exchange/amq.topic/")
        self.assertEqual(destination, parse_destination(str(destination)))


class ErrorTests(SynchronousTestCase):
    """What can't be understood is named in one line, with what was expected."""

    def refusal(self, text: str) -> str:
        """Return the error's text for `text`, which must be one line that quotes it."""
        refused = str(self.assertRaises(AddressError, parse_destination, text))
        self.assertNotIn("\n", refused)
        self.assertIn(f"bad destination {text!r}: expected ", refused)
        return refused

    def assert_form_expected(self, text: str) -> None:
        """Check that the refusal of `text` names the forms that there are."""
        self.assertTrue(self.refusal(text).endswith(f"expected {EXPECTED}"))

    def test_empty_text_is_refused(self) -> None:
        self.assert_form_expected("")

    def test_bare_name_is_refused(self) -> None:
        self.assert_form_expected("log")

    def test_form_without_leading_slash_is_refused(self) -> None:
        self.assert_form_expected("queue/log")

    def test_unknown_form_is_refused(self) -> None:
        self.assert_form_expected("/fanout/log")

    def test_queue_without_name_is_refused(self) -> None:
        self.assert_form_expected("/queue/")

    def test_amq_queue_without_name_is_refused(self) -> None:
        self.assert_form_expected("/amq/queue/")

    def test_topic_without_key_is_refused(self) -> None:
        self.assert_form_expected("/topic/")

    def test_exchange_without_name_is_refused(self) -> None:
        self.assert_form_expected("/exchange//key")

    def test_bare_slash_in_a_queue_name_is_refused(self) -> None:
        self.assert_form_expected("/queue/a/b")

    def test_bare_slash_in_a_key_is_refused(self) -> None:
        self.assert_form_expected("/exchange/logs/a/b")

    def test_newline_is_refused_and_quoted(self) -> None:
        self.assert_form_expected("/queue\nlog")

    def test_name_of_256_bytes_is_refused(self) -> None:
        self.assertIn("a name of at most 255 bytes", self.refusal("/queue/" + "x" * 256))

    def test_key_of_256_bytes_is_refused(self) -> None:
        self.assertIn("a name of at most 255 bytes", self.refusal("/exchange/logs/" + "x" * 256))

    def test_limit_is_in_bytes_not_characters(self) -> None:
        self.assertIn("a name of at most 255 bytes", self.refusal("/queue/" + "ü" * 128))

    def test_escape_that_is_no_utf_8_is_refused(self) -> None:
        self.assertIn("a name in UTF-8", self.refusal("/queue/%FF"))

    def test_byte_of_a_command_line_that_is_no_utf_8_is_refused(self) -> None:
        self.assertIn("a name in UTF-8", self.refusal("/queue/\udcff"))

    def test_error_is_a_value_error(self) -> None:
        self.assertRaises(ValueError, parse_destination, "log")
