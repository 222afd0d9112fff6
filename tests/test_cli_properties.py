"""Headers and properties in text."""

from __future__ import annotations

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.properties import PROPERTIES, parse_header, parse_property


class PropertyTests(SynchronousTestCase):
    """``--property NAME=VALUE``"""

    def refusal(self, text: str) -> str:
        """Return what is said of a mistake."""
        return str(self.assertRaises(usage.UsageError, parse_property, text))

    def test_text_is_kept_as_it_is(self) -> None:
        self.assertEqual(("content_type", "a=b; c"), parse_property("content-type=a=b; c"))
        self.assertEqual(("type", ""), parse_property("type="))

    def test_numbers_are_read(self) -> None:
        self.assertEqual(("priority", 255), parse_property("priority=255"))
        self.assertEqual(("timestamp", 1700000000), parse_property("timestamp=1700000000"))
        self.assertEqual(("expiration", "60000"), parse_property("expiration=060000"))

    def test_numbers_that_do_not_fit_are_refused_with_what_does(self) -> None:
        for text, maximum in (
            ("priority=256", 255),
            ("priority=-1", 255),
            ("priority=", 255),
            ("priority=٣", 255),
            ("expiration=1.5", 4294967295),
            ("expiration=4294967296", 4294967295),
            ("timestamp=" + "9" * 5000, 9223372036854775807),
        ):
            expected = f"bad --property {text!r}: expected a whole number from 0 to {maximum}"
            self.assertEqual(expected, self.refusal(text))

    def test_unknown_name_is_refused_with_those_that_are_known(self) -> None:
        for text in ("colour=red", "content_type=x", "delivery-mode=1", "type", "=x", ""):
            known = ", ".join(PROPERTIES)
            expected = f"bad --property {text!r}: expected NAME=VALUE, NAME one of {known}"
            self.assertEqual(expected, self.refusal(text))

    def test_text_that_is_no_short_string_is_refused(self) -> None:
        text = "type=" + "é" * 128
        self.assertEqual(f"bad --property {text!r}: expected at most 255 bytes", self.refusal(text))
        self.assertEqual(
            "bad --property 'type=\\udcff': expected UTF-8", self.refusal("type=\udcff")
        )


class HeaderTests(SynchronousTestCase):
    """``--header NAME=VALUE``"""

    def refusal(self, text: str) -> str:
        """Return what is said of a mistake."""
        return str(self.assertRaises(usage.UsageError, parse_header, text))

    def test_value_may_be_anything(self) -> None:
        self.assertEqual(("a", "b=c"), parse_header("a=b=c"))
        self.assertEqual(("x-long", "x" * 1000), parse_header("x-long=" + "x" * 1000))
        self.assertEqual(("a", ""), parse_header("a="))

    def test_header_without_name_or_value_is_refused(self) -> None:
        for text in ("a", "=b", ""):
            self.assertEqual(f"bad --header {text!r}: expected NAME=VALUE", self.refusal(text))

    def test_what_can_not_be_sent_is_refused(self) -> None:
        self.assertIn("expected at most 255 bytes", self.refusal("x" * 256 + "=a"))
        self.assertIn("expected UTF-8", self.refusal("a=\udcff"))
