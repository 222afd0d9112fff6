"""What queues, exchanges and consumers are declared with: checked in RabbitMQ's words.

RabbitMQ checks arguments in an order of its own, which decides what is said when several are
wrong. The names of types and values in its texts are Erlang's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from netdemo.broker.tables import INTEGERS, Field, fields
from netdemo.broker.terms import shown_string
from netdemo.errors import PreconditionFailed, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

EXPIRY_LIMIT: Final = 315_360_000_000
"""Milliseconds, ten years: the longest that a message or a queue can be told to stay."""

PRIORITY_LIMIT: Final = 255
"""The highest `max_priority` of a queue."""

CLASSIC: Final = "classic"
QUORUM: Final = "quorum"
STREAM: Final = "stream"

ALTERNATE_EXCHANGE: Final = "alternate-exchange"
DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
QUEUE_TYPE: Final = "x-queue-type"

KNOWN: Final = {
    CLASSIC: (
        "x-expires",
        "x-message-ttl",
        DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        QUEUE_TYPE,
        "x-queue-master-locator",
    ),
    QUORUM: (
        DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        QUEUE_TYPE,
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
    ),
}
"""The arguments of each type of queue, in the order in which RabbitMQ compares them."""

_OF_SOME: Final = frozenset(
    (
        *KNOWN[CLASSIC],
        *KNOWN[QUORUM],
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-initial-cluster-size",
    )
)
"""Those of any type; what is not among them is nobody's, and accepted."""

_STREAM_OFFSET: Final = "x-stream-offset"


@attrs.frozen
class QueueArguments:
    """What the arguments of a queue say; times in milliseconds, ``None`` for no limit."""

    message_ttl: int | None = None
    expires: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    max_priority: int | None = None
    single_active_consumer: bool = False
    queue_type: str = CLASSIC
    delivery_limit: int | None = None


def parse_queue_arguments(name: str, vhost: str, arguments: Mapping[str, Any]) -> QueueArguments:
    """Return what the arguments of a new queue say; RabbitMQ only compares those of an old one.

    :raises PreconditionFailed: for what can't be.
    :raises Unimplemented: for a stream.
    """
    queue = queue_in(name, vhost)
    asked = fields(arguments)
    _check_exchange_name(DEAD_LETTER_EXCHANGE, asked, queue)
    _check_values((QUEUE_TYPE,), asked, queue)
    queue_type: str = arguments.get(QUEUE_TYPE, CLASSIC)
    if queue_type == STREAM:
        raise Unimplemented(f"{queue} would be a stream")
    known = KNOWN[queue_type]
    _check_values(known, asked, queue)
    _check_names(asked, _OF_SOME.difference(known), queue, queue_type)
    return QueueArguments(
        message_ttl=_number(arguments.get("x-message-ttl")),
        expires=_number(arguments.get("x-expires")),
        max_length=_number(arguments.get("x-max-length")),
        max_length_bytes=_number(arguments.get("x-max-length-bytes")),
        overflow=arguments.get("x-overflow", "drop-head"),
        dead_letter_exchange=arguments.get(DEAD_LETTER_EXCHANGE),
        dead_letter_routing_key=arguments.get("x-dead-letter-routing-key"),
        max_priority=_number(arguments.get("x-max-priority")),
        single_active_consumer=arguments.get("x-single-active-consumer", False),
        queue_type=queue_type,
        delivery_limit=_delivery_limit(arguments.get("x-delivery-limit")),
    )


def check_queue_type(
    name: str, vhost: str, queue_type: str, durable: bool, exclusive: bool, auto_delete: bool
) -> None:
    """Check that a new queue can be of its type.

    :raises PreconditionFailed: for a quorum queue that shall not stay.
    """
    if queue_type != QUORUM:
        return
    for wrong, what in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if wrong:
            raise PreconditionFailed(f"invalid property '{what}' for {queue_in(name, vhost)}")


def check_nameless(arguments: Mapping[str, Any]) -> None:
    """Check that the broker may choose the name of a queue, before it does.

    :raises PreconditionFailed: for the types of queues that need a name.
    """
    queue_type = arguments.get(QUEUE_TYPE)
    if queue_type in (QUORUM, STREAM):
        raise PreconditionFailed(
            f"Cannot declare a server-named queue for type rabbit_{queue_type}_queue"
        )


def parse_consumer_arguments(
    name: str, vhost: str, queue_type: str, arguments: Mapping[str, Any]
) -> int:
    """Return the priority of a consumer of a queue.

    :raises PreconditionFailed: for what can't be.
    """
    if not arguments:
        return 0
    queue = queue_in(name, vhost)
    asked = fields(arguments)
    known = ("x-priority", "x-cancel-on-ha-failover") if queue_type == CLASSIC else ("x-priority",)
    _check_values(known, asked, queue)
    unknown = {"x-cancel-on-ha-failover", _STREAM_OFFSET}.difference(known)
    _check_names(asked, unknown, queue, queue_type)
    return int(arguments.get("x-priority", 0))


def check_exchange_arguments(name: str, vhost: str, arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a new exchange.

    :raises PreconditionFailed: for what can't be.
    """
    if ALTERNATE_EXCHANGE in arguments:
        _check_exchange_name(ALTERNATE_EXCHANGE, fields(arguments), exchange_in(name, vhost))


def parse_expiration(value: str) -> int:
    """Return the milliseconds that the property ``expiration`` of a message says.

    :raises PreconditionFailed: for what is no number, or one that can't be.
    """
    start = f"invalid expiration '{value}': "
    number = re.match(r"[+-]?[0-9]+", value)
    if number is None:
        raise PreconditionFailed(f"{start}no_integer")
    if rest := value[number.end() :].encode("utf-8", "surrogateescape"):
        raise PreconditionFailed(start + _pair("leftover_string", shown_string(rest), len(start)))
    milliseconds = int(number[0])
    if what := _out_of_time(milliseconds):
        raise PreconditionFailed(start + _pair(what, str(milliseconds), len(start)))
    return milliseconds


def queue_in(name: str, vhost: str) -> str:
    """Return what RabbitMQ calls a queue."""
    return f"queue '{name}' in vhost '{vhost}'"


def exchange_in(name: str, vhost: str) -> str:
    """Return what RabbitMQ calls an exchange."""
    return f"exchange '{name}' in vhost '{vhost}'"


def _number(value: Any) -> int | None:
    return None if value is None else int(value)  # a plain one, whatever its type was


def _delivery_limit(value: Any) -> int | None:
    """Return the limit if it is one: RabbitMQ does not check it."""
    return int(value) if isinstance(value, int) and value >= 0 else None


def _pair(name: str, value: str, column: int) -> str:
    """Return a pair in Erlang's notation, broken in two where a line of 80 columns ends."""
    pair = f"{{{name},{value}}}"
    return pair if column + len(pair) < 79 else f"{{{name},\n{' ' * (column + 1)}{value}}}"


def _check_exchange_name(argument: str, asked: Mapping[str, Field], what: str) -> None:
    if argument in asked and (kind := asked[argument][0]) != "longstr":
        raise PreconditionFailed(f"invalid type '{kind}' for arg '{argument}' in {what}")


def _check_names(
    asked: Iterable[str], unknown: frozenset[str] | set[str], queue: str, queue_type: str
) -> None:
    for argument in asked:
        if argument in unknown:
            raise PreconditionFailed(
                f"invalid arg '{argument}' for {queue} of queue type rabbit_{queue_type}_queue"
            )


def _check_values(known: Iterable[str], asked: Mapping[str, Field], queue: str) -> None:
    """Check the values of the arguments that are known, in RabbitMQ's order."""
    for argument, refusal in _REFUSALS.items():
        if argument in asked and argument in known:
            kind, term = asked[argument]
            text = refusal(kind, term, asked)
            if text:
                raise PreconditionFailed(f"invalid arg '{argument}' for {queue}: {text}")


def _integer(kind: str, _: Any, __: Mapping[str, Field]) -> str:
    return "" if kind in INTEGERS else f'"expected integer, got {kind}"'


def _not_negative(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
    return _integer(kind, term, asked) or (f"{{value_negative,{term}}}" if term < 0 else "")


def _positive(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
    return _not_negative(kind, term, asked) or ("" if term else "{value_zero,0}")


def _out_of_time(milliseconds: int) -> str:
    if milliseconds < 0:
        return "value_negative"
    return "value_too_large" if milliseconds > EXPIRY_LIMIT else ""


def _time(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
    if text := _integer(kind, term, asked):
        return text
    what = _out_of_time(term)
    return f"{{{what},{term}}}" if what else ""


def _time_above_zero(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
    return "{value_zero,0}" if kind in INTEGERS and not term else _time(kind, term, asked)


def _priority(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
    if text := _not_negative(kind, term, asked):
        return text
    return f"{{max_value_exceeded,{term}}}" if term > PRIORITY_LIMIT else ""


def _queue_version(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
    if text := _not_negative(kind, term, asked):
        return text
    return "" if term in (1, 2) else f"\"unsupported queue version '{term}'\""


def _of_type(wanted: str) -> Callable[[str, Any, Mapping[str, Field]], str]:
    def refusal(kind: str, _: Any, __: Mapping[str, Field]) -> str:
        return "" if kind == wanted else f"{{unacceptable_type,{kind}}}"

    return refusal


_text = _of_type("longstr")


def _dead_letter_key(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
    there = DEAD_LETTER_EXCHANGE in asked
    return _text(kind, term, asked) or ("" if there else "routing_key_but_no_dlx_defined")


def _one_of(names: str, otherwise: str) -> Callable[[str, Any, Mapping[str, Field]], str]:
    """Return a check for one of some names; ``{}`` in the refusal stands for what came instead."""

    def refusal(kind: str, term: Any, asked: Mapping[str, Field]) -> str:
        if text := _text(kind, term, asked):
            return text
        if term in names.encode().split():
            return ""
        before, braces, after = otherwise.partition("{}")
        return shown_string(before.encode() + term + after.encode()) if braces else otherwise

    return refusal


_REFUSALS: Final[dict[str, Callable[[str, Any, Mapping[str, Field]], str]]] = {
    "x-expires": _time_above_zero,
    "x-message-ttl": _time,
    DEAD_LETTER_EXCHANGE: _text,
    "x-dead-letter-routing-key": _dead_letter_key,
    "x-dead-letter-strategy": _one_of("at-most-once at-least-once", "invalid_dlx_strategy"),
    "x-max-length": _not_negative,
    "x-max-length-bytes": _not_negative,
    "x-max-in-memory-length": _not_negative,
    "x-max-in-memory-bytes": _not_negative,
    "x-max-priority": _priority,
    "x-overflow": _one_of("drop-head reject-publish reject-publish-dlx", "invalid_overflow"),
    "x-queue-mode": _one_of("default lazy", "unsupported queue mode '{}'"),
    "x-queue-version": _queue_version,
    "x-single-active-consumer": _of_type("bool"),
    QUEUE_TYPE: _one_of("classic quorum stream", "unsupported queue type '{}'"),
    "x-quorum-initial-group-size": _positive,
    "x-queue-leader-locator": _one_of(
        "client-local balanced random least-leaders", "invalid_queue_locator_arg"
    ),
    "x-priority": _integer,
    "x-cancel-on-ha-failover": _of_type("bool"),
}
"""What is refused of each argument, and how, in the order in which RabbitMQ looks at them."""
