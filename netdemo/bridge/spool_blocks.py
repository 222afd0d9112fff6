"""Blocks: the records of a spool, those of one route that came together in one row.

A row for each record would have the lock of the interpreter given up for each record.
"""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from struct import pack, unpack
from typing import TYPE_CHECKING, Any, Final

import attrs

from netdemo.amqp.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.defer import Deferred

MAX_RECORDS: Final = 500
"""Records in a block."""

MAX_BYTES: Final = 128 * 1024
"""Bytes from which a block takes no more."""

RECORD_BYTES: Final = 16
"""Bytes that count for a record besides its own."""

BLOCK_BYTES: Final = 128
"""Bytes that count for a block besides its records."""

COLUMNS: Final = (
    "id",
    "records",
    "size",
    "taken_at",
    "message_ids",
    "first",
    "mandatory",
    "content_type",
    "delivery_mode",
    "settled",
    "lengths",
    "routing_keys",
    "headers",
    "bodies",
)

Headers = dict[str, Any] | None


@attrs.frozen
class Terms:
    """What the messages of a block have in common.

    The ``message_id`` of each is `message_ids`, a dash and a number, of which no other is the same.
    """

    message_ids: str
    mandatory: bool
    content_type: str | None
    delivery_mode: int


@attrs.define(eq=False)
class Block:
    """Records of one route, in order, that are written, read and deleted together.

    `routing_keys` and `headers` are ``None`` where no record has one of its own. `settled` has a 1
    for each record that needs to be published no more; `left` counts the others.
    """

    id: int
    terms: Terms
    first: int
    taken_at: float
    bodies: list[bytes] = attrs.field(factory=list)
    routing_keys: list[str | None] | None = None
    headers: list[Headers] | None = None
    size: int = BLOCK_BYTES
    settled: bytearray = attrs.field(factory=bytearray)
    left: int = 0

    def add(self, body: bytes, routing_key: str | None, headers: Headers) -> int:
        """Take a record; return the bytes by which the block has grown."""
        if routing_key is not None and self.routing_keys is None:
            self.routing_keys = [None] * len(self.bodies)
        if headers and self.headers is None:
            self.headers = [None] * len(self.bodies)
        grown = RECORD_BYTES + len(body)
        self.bodies.append(body)
        if self.routing_keys is not None:
            self.routing_keys.append(routing_key)
            grown += len(routing_key or "")
        if self.headers is not None:
            self.headers.append(headers)
            grown += sum(len(name) + len(str(value)) for name, value in (headers or {}).items())
        self.size += grown
        return grown

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self.size >= MAX_BYTES or len(self.bodies) >= MAX_RECORDS

    def alone(self, index: int, block_id: int) -> Block:
        """Return a block of one record of this one."""
        block = Block(block_id, self.terms, self.first + index, self.taken_at)
        block.add(
            self.bodies[index],
            self.routing_keys[index] if self.routing_keys else None,
            self.headers[index] if self.headers else None,
        )
        return block

    def messages(self) -> Iterator[tuple[int, Message, str | None]]:
        """Yield what is not settled: its index, the message, and its own routing key if any."""
        terms, routing_keys, headers, settled = (
            *(self.terms, self.routing_keys, self.headers),
            bytes(self.settled),
        )
        for index, body in enumerate(self.bodies):
            if not (settled and settled[index]):
                yield (
                    index,
                    Message(
                        body,
                        headers=headers[index] if headers else None,
                        content_type=terms.content_type,
                        delivery_mode=terms.delivery_mode,
                        message_id=f"{terms.message_ids}-{self.first + index}",
                    ),
                    routing_keys[index] if routing_keys else None,
                )

    def row(self) -> tuple[Any, ...]:
        """Return what is stored, by `COLUMNS`."""
        terms = self.terms
        return (
            *(self.id, len(self.bodies), self.size, self.taken_at, terms.message_ids, self.first),
            *(terms.mandatory, terms.content_type, terms.delivery_mode, bytes(self.settled)),
            pack(f">{len(self.bodies)}I", *map(len, self.bodies)),
            json.dumps(self.routing_keys) if self.routing_keys else None,
            json.dumps(self.headers) if self.headers else None,
            b"".join(self.bodies),
        )


def stored_block(row: tuple[Any, ...]) -> Block:
    """Return the block that was stored as ``row``."""
    block_id, records, size, taken_at, message_ids, first, *common, lengths, keys, headers, text = (
        row
    )
    mandatory, content_type, delivery_mode, settled = common
    ends = accumulate(unpack(f">{records}I", lengths), initial=0)
    return Block(
        block_id,
        Terms(message_ids, bool(mandatory), content_type, delivery_mode),
        first,
        taken_at,
        [text[start:end] for start, end in pairwise(ends)],
        json.loads(keys) if keys else None,
        json.loads(headers) if headers else None,
        size,
        bytearray(settled),
    )


@attrs.define(eq=False)
class Writing:
    """A block that is being written.

    `written` is called with it when it is on disk, `refused` with it and the reason why it will
    not be. Without `may_refuse` that is at the end alone, and it is tried again until then.
    """

    block: Block
    written: Callable[[Writing], None]
    refused: Callable[[Writing, Exception], None]
    may_refuse: bool = False
    outcomes: list[Deferred[None]] = attrs.field(factory=list)
    sealed: bool = False
