"""Topics: patterns of words, of which ``*`` stands for one and ``#`` for any number.

The patterns are kept in a trie. A routing key is followed through it word by word in all nodes at
once that it can be in, so its cost is bounded by its words and by the nodes that fit them: a
pattern that does not fit costs nothing, and no row of ``#`` is tried twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from netdemo.broker.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from netdemo.broker.message import Message

ONE: Final = "*"
ANY: Final = "#"

REMEMBERED: Final = 16_384
"""Routing keys and destinations of theirs, together, that are remembered until the next change."""

D = TypeVar("D")


class Node(Generic[D]):
    """What patterns have in common that begin alike."""

    __slots__ = ("bound", "children", "repeats")

    def __init__(self, repeats: bool = False) -> None:
        self.bound: Tally[D] = Tally()
        self.children: dict[str, Node[D]] = {}
        self.repeats = repeats  # it ends in "#", which takes every further word


class TopicMatching(Generic[D]):
    """By patterns of words between dots."""

    def __init__(self) -> None:
        self._root: Node[D] = Node()
        self._matches: dict[str, tuple[D, ...]] = {}
        self._room = REMEMBERED

    def add(self, destination: D, key: str, _: dict[str, Any]) -> None:
        """Take a binding in."""
        node = self._root
        for word in split(key):
            child = node.children.get(word)
            if child is None:
                child = node.children[word] = Node(word == ANY)
            node = child
        node.bound.add(destination)
        self._forget_matches()

    def remove(self, destination: D, key: str, _: dict[str, Any]) -> None:
        """Forget a binding, and what of the trie it alone has needed."""
        path = [self._root]
        words = split(key)
        for word in words:
            path.append(path[-1].children[word])
        path[-1].bound.remove(destination)
        for parent, word in zip(reversed(path[:-1]), reversed(words), strict=True):
            child = parent.children[word]
            if child.bound or child.children:
                break
            del parent.children[word]
        self._forget_matches()

    def match(self, routing_key: str, _: Message) -> Collection[D]:
        """Return the destinations of the patterns that fit."""
        found = self._matches.get(routing_key)
        if found is None:
            found = self._find(routing_key)
            self._room -= 1 + len(found)
            if self._room < 0:
                self._forget_matches()
            else:
                self._matches[routing_key] = found
        return found

    def _find(self, routing_key: str) -> tuple[D, ...]:
        nodes = _with_empty([self._root])
        for word in split(routing_key):
            nodes = _with_empty(_after(nodes, word))
        return tuple(dict.fromkeys(each for node in nodes for each in node.bound))

    def _forget_matches(self) -> None:
        self._matches.clear()
        self._room = REMEMBERED


def split(key: str) -> list[str]:
    """Return the words of a key; an empty key has none, a dot has an empty one on each side."""
    return key.split(".") if key else []


def _after(nodes: Iterable[Node[D]], word: str) -> Iterable[Node[D]]:
    for node in nodes:
        if node.repeats:
            yield node
        if (child := node.children.get(word)) is not None:
            yield child
        if (child := node.children.get(ONE)) is not None:
            yield child


def _with_empty(nodes: Iterable[Node[D]]) -> Iterable[Node[D]]:
    """Return nodes, and those reached from them by a ``#`` that stands for nothing; each once."""
    found: dict[Node[D], None] = {}
    for node in nodes:
        each: Node[D] | None = node
        while each is not None and each not in found:
            found[each] = None
            each = each.children.get(ANY)
    return found
