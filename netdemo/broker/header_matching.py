"""Headers exchanges: bindings that ask for headers of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from netdemo.broker.tables import VOID, fields
from netdemo.broker.tally import Tally
from netdemo.broker.terms import shown
from netdemo.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping

    from netdemo.broker.message import Message
    from netdemo.broker.tables import Field

_ALL: Final = ("all", "all-with-x")
_ANY: Final = ("any", "any-with-x")

D = TypeVar("D")


@attrs.frozen
class Condition:
    """What a binding asks for: `all` of the headers that it wants, or any of them.

    `wanted` are names and terms, ``None`` for a header that shall be there with any value. Types
    count for nothing: a text is a text and a number a number.
    """

    all: bool
    wanted: frozenset[tuple[str, Hashable | None]]

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Condition:
        """Return what the arguments of a binding ask for.

        What is void in them asks that the header is there. A header whose name starts with ``x-``
        is asked for only ``-with-x``.

        :raises PreconditionFailed: for an ``x-match`` that is none of RabbitMQ's.
        """
        asked = fields(arguments)
        kind = _x_match(asked.pop("x-match", None))
        return cls(
            kind in _ALL,
            frozenset(
                (name, None if field == VOID else field[1])
                for name, field in asked.items()
                if kind.endswith("-with-x") or not name.startswith("x-")
            ),
        )

    def fits(self, headers: Mapping[str, Field]) -> bool:
        """Tell whether a message with these headers is wanted."""
        for name, term in self.wanted:
            found = headers.get(name)
            fits = found is not None and (term is None or found[1] == term)
            if fits is not self.all:
                return fits
        return self.all


class HeaderMatching(Generic[D]):
    """By the headers of a message; what a message costs grows with the bindings."""

    def __init__(self) -> None:
        self._conditions: dict[D, Tally[Condition]] = {}

    def add(self, destination: D, _: str, arguments: dict[str, Any]) -> None:
        """Take a binding in."""
        condition = Condition.of(arguments)
        self._conditions.setdefault(destination, Tally()).add(condition)

    def remove(self, destination: D, _: str, arguments: dict[str, Any]) -> None:
        """Forget a binding."""
        conditions = self._conditions[destination]
        conditions.remove(Condition.of(arguments))
        if not conditions:
            del self._conditions[destination]

    def match(self, _: str, message: Message) -> Collection[D]:
        """Return the destinations of the bindings that the message fits."""
        if not self._conditions:
            return ()
        headers = fields(message.headers())
        return tuple(
            destination
            for destination, conditions in self._conditions.items()
            if any(condition.fits(headers) for condition in conditions)
        )


def _x_match(field: Field | None) -> str:
    if field is None:
        return "all"
    kind, term = field
    if kind != "longstr":
        raise PreconditionFailed(
            f"Invalid x-match field type {kind} (value {shown(field)}); expected longstr"
        )
    for name in (*_ALL, *_ANY):
        if term == name.encode():
            return name
    raise PreconditionFailed(
        f"Invalid x-match field value {shown(field)}; expected all, any, all-with-x, or any-with-x"
    )
