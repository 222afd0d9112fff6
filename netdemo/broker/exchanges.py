"""Exchanges: which destinations a message goes to (AMQP 0-9-1, section 3.1.3).

A destination is anything hashable: a queue, or another exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from netdemo.broker.header_matching import HeaderMatching
from netdemo.broker.tables import fields
from netdemo.broker.tally import Tally
from netdemo.broker.topics import TopicMatching

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

    from netdemo.broker.message import Message

D = TypeVar("D")


class Binding(NamedTuple, Generic[D]):
    """What goes from an exchange on to a destination."""

    destination: D
    key: str
    arguments: dict[str, Any]


class Matching(Protocol[D]):
    """How the exchanges of a kind find destinations; it is told of no binding twice."""

    def add(self, destination: D, key: str, arguments: dict[str, Any], /) -> None:
        """Take a binding in, or raise a `Refusal`."""

    def remove(self, destination: D, key: str, arguments: dict[str, Any], /) -> None:
        """Forget a binding that was added."""

    def match(self, routing_key: str, message: Message, /) -> Collection[D]:
        """Return the destinations of a message, each once; what is returned never changes."""


class DirectMatching(Generic[D]):
    """By the very routing key."""

    def __init__(self) -> None:
        self._bound: dict[str, Tally[D]] = {}
        self._matches: dict[str, tuple[D, ...]] = {}  # of what is bound, when it was asked for

    def add(self, destination: D, key: str, _: dict[str, Any]) -> None:
        """Take a binding in."""
        self._bound.setdefault(key, Tally()).add(destination)
        self._matches.pop(key, None)

    def remove(self, destination: D, key: str, _: dict[str, Any]) -> None:
        """Forget a binding."""
        bound = self._bound[key]
        bound.remove(destination)
        if not bound:
            del self._bound[key]
        self._matches.pop(key, None)

    def match(self, routing_key: str, _: Message) -> Collection[D]:
        """Return the destinations that are bound with the key."""
        found = self._matches.get(routing_key)
        if found is None:
            bound = self._bound.get(routing_key)
            if bound is None:
                return ()
            found = self._matches[routing_key] = tuple(bound)
        return found


class FanoutMatching(Generic[D]):
    """Everything goes to all, whatever its key and theirs."""

    def __init__(self) -> None:
        self._bound: Tally[D] = Tally()
        self._all: tuple[D, ...] | None = ()

    def add(self, destination: D, _: str, __: dict[str, Any]) -> None:
        """Take a binding in."""
        self._bound.add(destination)
        self._all = None

    def remove(self, destination: D, _: str, __: dict[str, Any]) -> None:
        """Forget a binding."""
        self._bound.remove(destination)
        self._all = None

    def match(self, _: str, __: Message) -> Collection[D]:
        """Return all destinations."""
        if self._all is None:
            self._all = tuple(self._bound)
        return self._all


_MATCHING: Final[dict[str, Callable[[], Matching[Any]]]] = {
    "direct": DirectMatching,
    "fanout": FanoutMatching,
    "headers": HeaderMatching,
    "topic": TopicMatching,
}

KINDS: Final = frozenset(_MATCHING)
"""What an exchange can be."""


class Exchange(Generic[D]):
    """One exchange, of one of the `KINDS`.

    `match` takes a routing key and a message and returns the destinations of the message, each
    once, in a collection that never changes.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: dict[str, Any],
    ) -> None:
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments
        self.alternate: str | None = arguments.get("alternate-exchange")
        self._bound: dict[D, dict[Hashable, Binding[D]]] = {}
        self._matching: Matching[D] = _MATCHING[kind]()
        self.match: Callable[[str, Message], Collection[D]] = self._matching.match

    def __repr__(self) -> str:
        return f"<Exchange {self.name!r} {self.kind}>"

    @property
    def bindings(self) -> list[Binding[D]]:
        """All bindings with this source."""
        return [binding for bound in self._bound.values() for binding in bound.values()]

    @property
    def bound(self) -> bool:
        """Whether there is any binding."""
        return bool(self._bound)

    def leads_to(self, destination: D) -> bool:
        """Whether there is any binding to a destination."""
        return destination in self._bound

    def is_bound(self, destination: D, key: str, arguments: dict[str, Any]) -> bool:
        """Whether there is that very binding."""
        return _identity(key, arguments) in self._bound.get(destination, ())

    def bind(self, destination: D, key: str, arguments: dict[str, Any]) -> bool:
        """Bind a destination; return False when that very binding was there.

        :raises PreconditionFailed: for arguments that an exchange of this kind can't take.
        """
        if self.is_bound(destination, key, arguments):
            return False
        binding = Binding(destination, key, arguments)
        self._matching.add(*binding)
        self._bound.setdefault(destination, {})[_identity(key, arguments)] = binding
        return True

    def unbind(self, destination: D, key: str, arguments: dict[str, Any]) -> bool:
        """Undo a `bind` with the same arguments; return False when there was none."""
        bound = self._bound.get(destination, {})
        binding = bound.pop(_identity(key, arguments), None)
        if binding is None:
            return False
        self._matching.remove(*binding)
        if not bound:
            del self._bound[destination]
        return True

    def forget(self, destination: D) -> list[Binding[D]]:
        """Drop all bindings to a destination and return them."""
        bindings = list(self._bound.pop(destination, {}).values())
        for binding in bindings:
            self._matching.remove(*binding)
        return bindings


def _identity(key: str, arguments: dict[str, Any]) -> Hashable:
    return key, frozenset(fields(arguments).items()) if arguments else None
