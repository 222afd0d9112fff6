"""Declaring again what is there: it must be declared as it was, and RabbitMQ says what is not.

Arguments that RabbitMQ does not know are not compared, and the widths of integers and the types
of texts make no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from netdemo.broker.arguments import (
    ALTERNATE_EXCHANGE,
    CLASSIC,
    KNOWN,
    QUEUE_TYPE,
    exchange_in,
    queue_in,
)
from netdemo.broker.tables import Field, fields
from netdemo.broker.terms import shown
from netdemo.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netdemo.broker.exchanges import Exchange

_NO_DIFFERENCE: Final = (QUEUE_TYPE, ("longstr", CLASSIC.encode()))
"""What may be told or not."""


class DeclaredQueue(Protocol):
    """A queue that is there, with the arguments that it was declared with."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def durable(self) -> bool:
        """Whether it survives the broker."""

    @property
    def auto_delete(self) -> bool:
        """Whether it goes with its last consumer."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """All of them, as they came."""


def check_equivalent_queue(
    queue: DeclaredQueue,
    vhost: str,
    durable: bool,
    auto_delete: bool,
    arguments: Mapping[str, Any],
) -> None:
    """Check that a queue is declared as it is; who may use it is checked before, by others.

    To RabbitMQ an exclusive queue is not durable, whatever it was declared.

    :raises PreconditionFailed: for the first difference.
    """
    what = queue_in(queue.name, vhost)
    _compare_flag("durable", queue.durable, durable, what)
    _compare_flag("auto_delete", queue.auto_delete, auto_delete, what)
    if queue.arguments or arguments:
        known = KNOWN[queue.arguments.get(QUEUE_TYPE, CLASSIC)]
        _compare_arguments(known, queue.arguments, arguments, what)


def check_equivalent_exchange(
    exchange: Exchange[Any],
    vhost: str,
    kind: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Mapping[str, Any],
) -> None:
    """Check that an exchange is declared as it is.

    :raises PreconditionFailed: for the first difference.
    """
    what = exchange_in(exchange.name, vhost)
    if exchange.kind != kind:
        raise _inequivalent("type", f"'{kind}'", f"'{exchange.kind}'", what)
    _compare_flag("durable", exchange.durable, durable, what)
    _compare_flag("auto_delete", exchange.auto_delete, auto_delete, what)
    _compare_flag("internal", exchange.internal, internal, what)
    _compare_arguments((ALTERNATE_EXCHANGE,), exchange.arguments, arguments, what)


def _compare_flag(name: str, current: bool, received: bool, what: str) -> None:
    if current is not received:
        raise _inequivalent(name, f"'{received}'".lower(), f"'{current}'".lower(), what)


def _compare_arguments(
    names: Iterable[str], current: Mapping[str, Any], received: Mapping[str, Any], what: str
) -> None:
    old, new = fields(current), fields(received)
    for name in names:
        is_there, is_asked = old.get(name), new.get(name)
        if is_there is not None and is_asked is not None:
            if not _same(is_there, is_asked):
                raise _inequivalent(name, _value(is_asked), _value(is_there), what)
        elif is_there != is_asked and (name, is_there or is_asked) != _NO_DIFFERENCE:
            raise _inequivalent(name, _value_with_type(is_asked), _value_with_type(is_there), what)


def _same(one: Field, other: Field) -> bool:
    # To Python a number is equal to its fraction, which is no integer to RabbitMQ.
    return one[1] == other[1] and type(one[1]) is type(other[1])


def _value(field: Field) -> str:
    return "none" if field[0] == "void" else f"'{_bare(field)}'"


def _value_with_type(field: Field | None) -> str:
    return "none" if field is None else f"the value '{_bare(field)}' of type '{field[0]}'"


def _bare(field: Field) -> str:
    term = field[1]
    return term.decode("utf-8", "surrogateescape") if isinstance(term, bytes) else shown(field)


def _inequivalent(name: str, received: str, current: str, what: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"inequivalent arg '{name}' for {what}: received {received} but current is {current}"
    )
