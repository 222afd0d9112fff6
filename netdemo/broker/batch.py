"""What is written to the store in one transaction."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from netdemo.broker.schema import POSITION_BITS, encoded
from netdemo.sqlite_file import GROUPS, execute_in_groups

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from netdemo.broker.message import Message

SWEEP: Final = 2000
"""Messages of an emptied range that are deleted in one transaction."""

_COLUMNS: Final = 9
_INSERT: Final = "INSERT OR REPLACE INTO messages VALUES "
_INSERTS: Final = {
    rows: _INSERT + ", ".join([f"({', '.join('?' * _COLUMNS)})"] * rows) for rows in GROUPS
}
_DELETES: Final = {
    rows: f"DELETE FROM messages WHERE id IN ({', '.join('?' * rows)})" for rows in GROUPS
}


class Batch:
    """What changed since the batch before it, in the order in which it must be written.

    `changes` has for each queue what was put at a position, with the time at which it expires, or
    ``None`` for what was removed there. `rows` counts these, and `size` the bytes of those put.
    `emptied` are ranges of ids, all of which were removed. `calls` is for when it is on disk.
    """

    def __init__(self) -> None:
        self.definitions: list[tuple[str, tuple[Any, ...]]] = []
        self.changes: defaultdict[int, dict[int, tuple[Message, float | None] | None]] = (
            defaultdict(dict)
        )
        self.delivered: dict[int, int] = {}
        self.emptied: list[tuple[int, int]] = []
        self.calls: list[Callable[[], None]] = []
        self.rows = 0
        self.size = 0

    @property
    def changed(self) -> bool:
        """Whether there is anything to write; what was delivered alone is not enough."""
        return bool(self.rows or self.definitions)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it, in the transaction that is open."""
        for statement, values in self.definitions:
            connection.execute(statement, values)
        removed: list[int] = []
        put: list[Any] = []
        for queue_id, changes in self.changes.items():
            start = queue_id << POSITION_BITS
            for position, change in changes.items():
                if change is None:
                    removed.append(start | position)
                else:
                    message, expires_at = change
                    put += (
                        start | position,
                        encoded(message.exchange),
                        encoded(message.routing_key),
                        message.persistent,
                        message.priority,
                        message.expiration,
                        expires_at,
                        message.header,
                        message.body,
                    )
        execute_in_groups(connection, _DELETES, removed, 1)
        execute_in_groups(connection, _INSERTS, put, _COLUMNS)
        for queue_id, position in self.delivered.items():
            connection.execute(
                "UPDATE queues SET delivered = max(delivered, ?) WHERE id = ?",
                (position, queue_id),
            )


def sweep(connection: sqlite3.Connection, first: int, last: int) -> bool:
    """Delete some messages of an emptied range; tell whether it was the last of them."""
    deleted = connection.execute(
        "DELETE FROM messages WHERE id IN"
        " (SELECT id FROM messages WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)",
        (first, last, SWEEP),
    ).rowcount
    if deleted == SWEEP:
        return False
    connection.execute("DELETE FROM emptied WHERE first = ? AND last = ?", (first, last))
    return True
