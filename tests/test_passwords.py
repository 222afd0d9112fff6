"""Passwords as they are kept."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.passwords import MAX_COST, hash_password, parse_password_hash

RFC_7914 = (
    # Section 12: of the password "pleaseletmein" with the salt "SodiumChloride", here cut to 32.
    "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI"
)
SECRET = "c2VjcmV0"


class MatchingTests(SynchronousTestCase):
    """Which password a hash is of."""

    def test_of_the_one_it_was_made_of(self) -> None:
        hashed = hash_password(b"pw", 1, 1)
        self.assertEqual((True, False), (hashed.matches(b"pw"), hashed.matches(b"pW")))

    def test_read_again_it_is_of_the_same(self) -> None:
        hashed = hash_password(b"pw", 1, 1)
        self.assertEqual(hashed, parse_password_hash(str(hashed)))

    def test_it_is_scrypts(self) -> None:
        self.assertTrue(parse_password_hash(RFC_7914).matches(b"pleaseletmein"))

    def test_two_of_one_password_differ(self) -> None:
        first, second = (hash_password(b"pw", 1, 1) for _ in range(2))
        self.assertNotIn(str(first).split("$")[-1], str(second))

    def test_it_shows_neither_salt_nor_hash(self) -> None:
        hashed = hash_password(b"pw", 1, 1)
        self.assertEqual("PasswordHash(log_n=1, block_size=1, parallelism=1)", repr(hashed))


class ParsingTests(SynchronousTestCase):
    """Text that is no hash, or one that costs too much."""

    def refusal(self, text: str) -> str:
        """Return why `text` is refused; no piece of it is told."""
        refused = str(self.assertRaises(ValueError, parse_password_hash, text))
        self.assertNotIn(SECRET, refused)
        return refused

    def hash_with(self, parameters: str) -> str:
        """Return the text of a hash with these parameters."""
        return f"$scrypt${parameters}${SECRET}$" + "A" * 43

    def test_another_form_is_refused(self) -> None:
        for text in ("", SECRET, f"$2b$12${SECRET}", self.hash_with("ln=-1,r=8,p=1")):
            self.assertEqual("expected $scrypt$ln=LOG2_N,r=R,p=P$SALT$HASH", self.refusal(text))

    def test_parameters_that_scrypt_has_not_are_refused(self) -> None:
        for parameters in ("ln=0,r=8,p=1", "ln=14,r=0,p=1", "ln=14,r=8,p=0", "ln=16,r=1,p=1"):
            self.assertIn("RFC 7914", self.refusal(self.hash_with(parameters)))

    def test_absurd_cost_is_refused_at_once(self) -> None:
        for parameters in ("ln=18,r=8,p=1", "ln=99,r=9999999,p=9999999", "ln=1,r=1,p=524289"):
            expected = f"expected scrypt's N * r * p of at most {MAX_COST}"
            self.assertEqual(expected, self.refusal(self.hash_with(parameters)))

    def test_most_that_is_taken_works(self) -> None:
        for parameters in ("ln=17,r=8,p=1", "ln=1,r=1,p=524288", "ln=1,r=524288,p=1"):
            self.assertFalse(parse_password_hash(self.hash_with(parameters)).matches(b"x"))

    def test_hash_of_another_size_is_refused(self) -> None:
        text = "$scrypt$ln=14,r=8,p=1"
        for salt, hashed in ((SECRET, "A" * 42), (SECRET, "A" * 44), ("A" * 88, "A" * 43)):
            self.assertIn("expected a hash of 32 bytes", self.refusal(f"{text}${salt}${hashed}"))

    def test_broken_base64_is_refused(self) -> None:
        text = self.hash_with("ln=14,r=8,p=1").replace(SECRET, "A")
        self.assertIn("base64", self.refusal(text))

    @settings(database=None, deadline=None)
    @given(st.text(max_size=100))
    def test_any_other_text_is_refused_or_written_the_same(self, text: str) -> None:
        try:
            hashed = parse_password_hash("$scrypt$" + text)
        except ValueError:
            return
        self.assertEqual(hashed, parse_password_hash(str(hashed)))
