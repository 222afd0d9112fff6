"""`netdemo.broker.topics`: patterns of words, whatever they are and however many."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker import topics
from netdemo.broker.exchanges import Exchange
from netdemo.broker.topics import REMEMBERED, TopicMatching
from tests.test_exchanges import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

PATTERNS = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=6).map(".".join)
KEYS = st.lists(st.sampled_from(["a", "b", "", "c", "*", "#"]), max_size=6).map(".".join)


def fits(pattern: str, key: str) -> bool:
    """Tell whether a pattern fits, in the plainest way."""
    words = tuple(key.split(".")) if key else ()
    return _fits(tuple(pattern.split(".")) if pattern else (), words)


@cache
def _fits(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_fits(pattern[1:], words[start:]) for start in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _fits(pattern[1:], words[1:])


def topic(*patterns: str) -> Exchange[str]:
    """Return an exchange to which a destination is bound with each pattern that it is named by."""
    on: Exchange[str] = Exchange("x", "topic", True, False, False, {})
    for pattern in patterns:
        on.bind(pattern, pattern, {})
    return on


class PatternTests(SynchronousTestCase):
    """Which keys a pattern fits."""

    def test_words_stars_and_hashes(self) -> None:
        on = topic("a.b", "a.*", "*", "#", "a.#", "#.b", "", "a..b", "*.*.*", "#.#")
        for key, wanted in (
            ("a.b", {"a.b", "a.*", "#", "a.#", "#.b", "#.#"}),
            ("a", {"*", "#", "a.#", "#.#"}),
            ("", {"", "#", "#.#"}),
            ("a..b", {"a..b", "#", "a.#", "#.b", "*.*.*", "#.#"}),
            (".", {"#", "#.#"}),
            ("b.c.d", {"#", "*.*.*", "#.#"}),
        ):
            self.assertEqual(set(on.match(key, MESSAGE)), wanted, key)

    def test_a_destination_of_many_patterns_that_fit_is_there_once(self) -> None:
        on = topic()
        for pattern in ("a.b", "a.*", "#", "#.b"):
            on.bind("q", pattern, {})
        self.assertEqual(on.match("a.b", MESSAGE), ("q",))

    @given(st.lists(PATTERNS, max_size=8), KEYS)
    def test_any_patterns_fit_what_they_fit_one_by_one(self, patterns: list[str], key: str) -> None:
        matched = topic(*patterns).match(key, MESSAGE)
        self.assertEqual(len(matched), len(set(matched)))
        self.assertEqual(set(matched), {each for each in patterns if fits(each, key)})

    @given(st.lists(PATTERNS, unique=True, max_size=6), st.data())
    def test_what_is_left_after_unbinding_fits_as_before(
        self, patterns: list[str], data: st.DataObject
    ) -> None:
        on = topic(*patterns)
        gone = data.draw(st.lists(st.sampled_from(patterns), unique=True)) if patterns else []
        key = data.draw(KEYS)
        on.match(key, MESSAGE)
        for pattern in gone:
            on.unbind(pattern, pattern, {})
        wanted = {each for each in patterns if each not in gone and fits(each, key)}
        self.assertEqual(set(on.match(key, MESSAGE)), wanted)


class CostTests(SynchronousTestCase):
    """What a message costs, in nodes of the trie that it comes by."""

    def visited(self, on: Exchange[str], key: str) -> int:
        """Return how many nodes were asked for a child while a key was matched."""
        count = 0
        after = topics._after

        def counting(nodes: Iterable[topics.Node[str]], word: str) -> Iterable[topics.Node[str]]:
            nonlocal count
            nodes = list(nodes)
            count += len(nodes)
            return after(nodes, word)

        self.patch(topics, "_after", counting)
        on.match(key, MESSAGE)
        self.patch(topics, "_after", after)
        return count

    def test_patterns_that_do_not_fit_cost_nothing(self) -> None:
        few = topic("a.*.c", "#.c", *(f"w{n}.x.*" for n in range(10)))
        many = topic("a.*.c", "#.c", *(f"w{n}.x.*" for n in range(10_000)))
        self.assertEqual(self.visited(many, "a.b.c"), self.visited(few, "a.b.c"))

    def test_a_row_of_hashes_costs_words_times_its_length(self) -> None:
        pattern = ".".join(["#", "a"] * 20)
        key = ".".join(["a"] * 100) + ".b"
        on = topic(pattern)
        self.assertLessEqual(self.visited(on, key), 101 * 41)
        self.assertEqual(on.match(key, MESSAGE), ())
        self.assertEqual(on.match("a." * 99 + "a", MESSAGE), (pattern,))


class TrieTests(SynchronousTestCase):
    """What is kept."""

    def setUp(self) -> None:
        self.matching: TopicMatching[str] = TopicMatching()

    def test_nothing_is_left_of_patterns_that_are_gone(self) -> None:
        patterns = ["a.b.c", "a.b", "#.a.*", "", "a.#"]
        for pattern in patterns:
            self.matching.add("q", pattern, {})
        for pattern in patterns:
            self.matching.remove("q", pattern, {})
        self.assertEqual(self.matching._root.children, {})
        self.assertEqual(self.matching._root.bound, {})

    def test_a_pattern_that_begins_as_another_stays_without_it(self) -> None:
        self.matching.add("q", "a.b", {})
        self.matching.add("q", "a.b.c", {})
        self.matching.remove("q", "a.b.c", {})
        self.assertEqual(self.matching.match("a.b", MESSAGE), ("q",))
        self.assertEqual(self.matching.match("a.b.c", MESSAGE), ())

    def test_what_is_remembered_is_bounded(self) -> None:
        for each in range(99):
            self.matching.add(f"q{each}", "#", {})
        for number in range(REMEMBERED // 100 + 10):
            self.matching.match(str(number), MESSAGE)
            remembered = self.matching._matches.values()
            self.assertLessEqual(sum(1 + len(each) for each in remembered), REMEMBERED)
        self.assertLess(len(remembered), 12)

    def test_a_message_with_more_destinations_than_are_remembered_finds_them(self) -> None:
        for each in range(REMEMBERED + 1):
            self.matching.add(f"q{each}", "#", {})
        self.assertEqual(len(self.matching.match("a", MESSAGE)), REMEMBERED + 1)
        self.assertEqual(self.matching._matches, {})
