"""Permissions: patterns as RabbitMQ has them, and its words."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.permissions import EXCHANGE, MAX_CACHED, QUEUE, Access, Permissions
from netdemo.errors import AccessRefused


class PermissionsTests(SynchronousTestCase):
    """Which names a pattern is for."""

    def test_by_default_all_may_be_done(self) -> None:
        all_of_it = Permissions()
        for may in (all_of_it.may_configure, all_of_it.may_write, all_of_it.may_read):
            self.assertTrue(may("x") and may("") and may("\n"))

    def test_each_pattern_has_its_own_permission(self) -> None:
        each = Permissions("^c", "^w", "^r")
        for name, expected in (
            ("c", (True, False, False)),
            ("w", (False, True, False)),
            ("r", (False, False, True)),
        ):
            may = (each.may_configure(name), each.may_write(name), each.may_read(name))
            self.assertEqual(expected, may)

    def test_pattern_is_found_anywhere_in_a_name(self) -> None:
        self.assertTrue(Permissions(write="log").may_write("my-logs"))

    def test_empty_pattern_is_that_of_the_empty_name(self) -> None:
        nothing = Permissions(write="")
        self.assertEqual((True, False), (nothing.may_write(""), nothing.may_write("x")))

    def test_names_that_are_remembered_are_limited(self) -> None:
        permissions = Permissions()
        for number in range(MAX_CACHED + 10):
            permissions.may_write(str(number))
        remembered = permissions.may_write.cache_info()  # type: ignore[attr-defined]
        self.assertEqual(MAX_CACHED, remembered.currsize)

    def test_name_is_answered_the_same_again(self) -> None:
        permissions = Permissions(read="^a")
        for _ in range(2):
            self.assertEqual([True, False], [permissions.may_read(name) for name in ("a", "b")])

    def test_malformed_pattern_is_refused(self) -> None:
        self.assertRaises(re.error, Permissions, "(")


class AccessTests(SynchronousTestCase):
    """What is refused, in RabbitMQ's words."""

    access = Access("u", "/v", Permissions("^c", "^(w|amq[.]default$)", "^r"))

    def refusal(self, check: str, kind: str, name: str) -> str:
        """Return the text of what `check` must raise."""
        method = getattr(self.access, f"check_{check}")
        refused = self.assertRaises(AccessRefused, method, kind, name)
        self.assertEqual((403, False), (refused.reply_code, refused.closes_connection))
        return str(refused.reply_text)

    def test_what_matches_is_let_through(self) -> None:
        for kind in (QUEUE, EXCHANGE):
            self.access.check_configure(kind, "c")
            self.access.check_write(kind, "w")
            self.access.check_read(kind, "r")

    def test_what_does_not_is_refused(self) -> None:
        for check in ("configure", "write", "read"):
            for kind in (QUEUE, EXCHANGE):
                self.assertEqual(
                    f"ACCESS_REFUSED - access to {kind} 'x' in vhost '/v' refused for user 'u'",
                    self.refusal(check, kind, "x"),
                )

    def test_default_exchange_has_a_name(self) -> None:
        self.access.check_write(EXCHANGE, "")
        self.assertEqual(
            "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/v' refused for user 'u'",
            self.refusal("read", EXCHANGE, ""),
        )
