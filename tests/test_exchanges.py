"""`netdemo.broker.exchanges`: what is bound gets its messages, each once."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.exchanges import KINDS, Exchange
from netdemo.broker.message import Message
from netdemo.broker.properties import join_header
from netdemo.errors import PreconditionFailed

MESSAGE = Message("", "", join_header({}, 0), b"")
"""One without headers."""


def exchange(kind: str, arguments: dict[str, Any] | None = None) -> Exchange[str]:
    """Return an exchange whose destinations are texts."""
    return Exchange("x", kind, True, False, False, arguments or {})


class BindTests(SynchronousTestCase):
    """`Exchange.bind` and `Exchange.unbind`: which binding is which."""

    def test_the_very_binding_is_there_once(self) -> None:
        for kind in KINDS:
            on = exchange(kind)
            self.assertTrue(on.bind("q", "k", {"a": 1}))
            self.assertFalse(on.bind("q", "k", {"a": 1}))
            self.assertEqual(on.bindings, [("q", "k", {"a": 1})])

    def test_other_arguments_are_another_binding(self) -> None:
        on = exchange("direct")
        on.bind("q", "k", {})
        for arguments in ({"a": 1}, {"a": "1"}, {"a": b"1"}, {"a": True}, {"a": [1]}):
            self.assertTrue(on.bind("q", "k", arguments))
        self.assertTrue(on.unbind("q", "k", {}))
        self.assertEqual(on.match("k", MESSAGE), ("q",))

    def test_the_order_of_arguments_counts_for_nothing(self) -> None:
        on = exchange("direct")
        on.bind("q", "k", {"a": 1, "b": 2})
        self.assertFalse(on.bind("q", "k", {"b": 2, "a": 1}))

    def test_unbind_of_what_is_not_bound_changes_nothing(self) -> None:
        on = exchange("direct")
        on.bind("q", "k", {})
        self.assertFalse(on.unbind("q", "other", {}))
        self.assertFalse(on.unbind("q", "k", {"a": 1}))
        self.assertFalse(on.unbind("other", "k", {}))
        self.assertEqual(on.match("k", MESSAGE), ("q",))

    def test_a_refused_binding_is_not_there(self) -> None:
        on = exchange("headers")
        self.assertRaises(PreconditionFailed, on.bind, "q", "", {"x-match": "some"})
        self.assertFalse(on.bound)
        self.assertFalse(on.unbind("q", "", {"x-match": "some"}))

    def test_all_bindings_to_a_destination_are_forgotten_at_once(self) -> None:
        for kind in KINDS:
            on = exchange(kind)
            on.bind("q", "a", {})
            on.bind("other", "a", {})
            on.bind("q", "b", {"x": 1})
            self.assertEqual(on.forget("q"), [("q", "a", {}), ("q", "b", {"x": 1})])
            self.assertEqual(on.forget("q"), [])
            self.assertEqual(on.match("a", MESSAGE), ("other",))
            self.assertTrue(on.bound)
            on.forget("other")
            self.assertFalse(on.bound)

    def test_alternate_is_what_the_arguments_name(self) -> None:
        self.assertEqual(exchange("direct", {"alternate-exchange": "y"}).alternate, "y")
        self.assertIsNone(exchange("direct").alternate)


class MatchTests(SynchronousTestCase):
    """`Exchange.match`, of the kinds that have no module of their own."""

    def test_direct_takes_the_very_key(self) -> None:
        on = exchange("direct")
        on.bind("one", "a", {})
        on.bind("other", "a", {})
        on.bind("third", "b", {})
        self.assertEqual(on.match("a", MESSAGE), ("one", "other"))
        self.assertEqual(on.match("b", MESSAGE), ("third",))
        self.assertEqual(on.match("", MESSAGE), ())

    def test_direct_keeps_nothing_for_a_key_that_is_not_bound(self) -> None:
        on = exchange("direct")
        on.bind("q", "a", {})
        on.match("a", MESSAGE)
        on.match("b", MESSAGE)
        on.unbind("q", "a", {})
        self.assertEqual(vars(on._matching), {"_bound": {}, "_matches": {}})

    def test_fanout_takes_everything_once(self) -> None:
        on = exchange("fanout")
        on.bind("one", "a", {})
        on.bind("one", "b", {})
        on.bind("other", "", {})
        self.assertEqual(on.match("c", MESSAGE), ("one", "other"))

    def test_no_binding_no_destination(self) -> None:
        for kind in KINDS:
            self.assertEqual(exchange(kind).match("", MESSAGE), ())

    def test_what_was_matched_stays_as_it_was(self) -> None:
        for kind in KINDS:
            on = exchange(kind)
            on.bind("one", "a", {})
            matched = on.match("a", MESSAGE)
            on.bind("other", "a", {})
            on.forget("one")
            self.assertEqual(matched, ("one",))
            self.assertEqual(on.match("a", MESSAGE), ("other",))


KEYS = st.sampled_from(["", "a", "b", "a.b"])
DESTINATIONS = st.sampled_from(["one", "other", "third"])
ARGUMENTS = st.sampled_from([{}, {"a": 1}, {"a": "1"}, {"x-match": "any"}])


class RandomHistory(RuleBasedStateMachine):
    """An exchange of each kind, and a plain list of what is bound to each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.exchanges = [exchange(kind) for kind in sorted(KINDS)]
        self.bound: list[tuple[str, str, dict[str, Any]]] = []

    @rule(destination=DESTINATIONS, key=KEYS, arguments=ARGUMENTS)
    def bind(self, destination: str, key: str, arguments: dict[str, Any]) -> None:
        binding = (destination, key, arguments)
        new = binding not in self.bound
        if new:
            self.bound.append(binding)
        for on in self.exchanges:
            assert on.bind(*binding) is new

    @rule(destination=DESTINATIONS, key=KEYS, arguments=ARGUMENTS)
    def unbind(self, destination: str, key: str, arguments: dict[str, Any]) -> None:
        binding = (destination, key, arguments)
        there = binding in self.bound
        if there:
            self.bound.remove(binding)
        for on in self.exchanges:
            assert on.unbind(*binding) is there

    @rule(destination=DESTINATIONS)
    def forget(self, destination: str) -> None:
        gone = [binding for binding in self.bound if binding[0] == destination]
        self.bound = [binding for binding in self.bound if binding not in gone]
        for on in self.exchanges:
            assert same(on.forget(destination), gone)

    @rule(key=KEYS)
    def match(self, key: str) -> None:
        with_key = {binding[0] for binding in self.bound if binding[1] == key}
        wanted = {
            "direct": with_key,
            "fanout": {binding[0] for binding in self.bound},
            "headers": {binding[0] for binding in self.bound if not binding[2]},
            "topic": with_key,
        }
        for on in self.exchanges:
            matched = on.match(key, MESSAGE)
            assert len(matched) == len(set(matched))
            assert set(matched) == wanted[on.kind]

    @invariant()
    def lists_what_is_bound(self) -> None:
        for on in self.exchanges:
            assert same(on.bindings, self.bound)
            assert on.bound == bool(self.bound)


def same(some: list[Any], others: list[Any]) -> bool:
    """Tell whether two lists hold the same in any order."""
    return len(some) == len(others) and all(each in others for each in some)


class RandomTests(SynchronousTestCase):
    """`RandomHistory`."""

    def test_a_plain_list_tells_the_same(self) -> None:
        run_state_machine_as_test(
            RandomHistory, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
        )
