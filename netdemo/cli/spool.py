"""``netdemo spool``"""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.python import usage

from netdemo.bridge.framing import FRAMINGS, FramingError
from netdemo.bridge.routes import DEFAULT_FRAMING
from netdemo.bridge.spool_file import (
    REFUSED,
    first_id,
    last_id,
    looking_into,
    read_blocks,
    stored_routes,
)
from netdemo.cli.options import Options
from netdemo.cli.stdio import StandardOutput, check_standard_output
from netdemo.coercion import one_of, positive_integer
from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from netdemo.bridge.spool_blocks import Block
    from netdemo.bridge.spool_file import StoredRoute

ACTIONS: Final = ("ls", "show", "export")

READ_BYTES: Final = 1024 * 1024
"""Bytes of records that are read at once; between them the bridge has its spool for itself."""

SHOWN: Final = 200
"""Bytes that are shown of a record."""


class SpoolOptions(Options):
    """Options of ``netdemo spool``."""

    synopsis = "ls|show|export DIR [ROUTE] [--count N] [--framing line|netstring|int32]"
    longdesc = (
        "Looks into the spool of a bridge, which may be running, and changes nothing. ls prints "
        "its routes, with what waits of each; show prints the records in a form that is safe for "
        "a terminal, oldest first, and export prints them as they are, each in its framing. "
        "ROUTE is one of those that ls prints. A record that was published a moment ago may still "
        "be there. Example: netdemo spool export /var/spool/bridge | netdemo send /queue/rescued"
    )
    optParameters: list[list[Any]] = [
        [
            "count",
            None,
            None,
            "Records to print at most [default: all]",
            positive_integer("--count"),
        ],
        [
            "framing",
            None,
            DEFAULT_FRAMING,
            f"How exported records stand in the output: {', '.join(FRAMINGS)}",
            one_of("--framing", FRAMINGS),
        ],
    ]

    compData = usage.Completions(
        optActions={"framing": usage.CompleteList(FRAMINGS)},
        extraActions=[
            usage.CompleteList(ACTIONS, descr="action"),
            usage.CompleteDirs(descr="folder"),
        ],
    )

    def parseArgs(
        self, action: str | None = None, directory: str | None = None, *route: str
    ) -> None:
        if action not in ACTIONS:
            raise usage.UsageError(f"bad action {action!r}: expected ls, show or export")
        if not directory:
            raise usage.UsageError("no DIR: expected the folder of a spool")
        if len(route) > (0 if action == "ls" else 1):
            raise usage.UsageError(f"bad argument {route[-1]!r}: expected nothing more")
        self["action"], self["directory"] = action, Path(directory)
        self["route"] = route[0] if route else None

    async def run(self, reactor: Any) -> None:
        """Print what was asked for.

        :raises NetdemoError: if the spool can't be read, or a record can't be printed as asked.
        """
        check_standard_output()
        unfit = 0
        with closing(StandardOutput(reactor)) as output, _reading(self["directory"]) as connection:
            routes = stored_routes(connection)
            if self["action"] == "ls":
                for line in _listed(routes, reactor.seconds()):
                    output.write(f"{line}\n".encode(errors="surrogateescape"))
                await output.flush()
                return
            left = self["count"] or sys.maxsize
            encode = FRAMINGS[self["framing"]].encode
            for route in _chosen(routes, self["route"]):
                for block, index in _records(connection, route):
                    if not left:
                        break
                    left -= 1
                    if self["action"] == "show":
                        output.write(_shown(route, block, index))
                    else:
                        try:
                            output.write(encode(block.bodies[index]))
                        except FramingError:
                            unfit += 1
                    await output.flush()
        if unfit:
            raise NetdemoError(
                f"{unfit} records can't be written in the framing {self['framing']}: "
                "expected another --framing"
            )


@contextmanager
def _reading(directory: Path) -> Iterator[sqlite3.Connection]:
    try:
        with looking_into(directory) as connection:
            yield connection
    except OSError as error:
        raise NetdemoError(f"cannot read {directory}: {error.strerror}") from None


def _chosen(routes: list[StoredRoute], name: str | None) -> list[StoredRoute]:
    chosen = [route for route in routes if name is None or route.name == name]
    if name is not None and not chosen:
        raise NetdemoError(f"no route {name!r} in this spool: expected one that ls prints")
    return chosen


def _listed(routes: list[StoredRoute], now: float) -> Iterator[str]:
    for route in routes:
        line = f"{route.name}: {route.records} records, {route.size} bytes"
        if route.oldest is not None:
            line += f", the oldest of {max(0.0, now - route.oldest):.0f} s ago"
        if route.refused:
            line += f", {route.refused} refused by the broker"
        yield line


def _records(connection: sqlite3.Connection, route: StoredRoute) -> Iterator[tuple[Block, int]]:
    """Yield where each record is, oldest first, and those that the broker refused at last.

    One that is put aside meanwhile comes twice, one that goes meanwhile may not come.
    """
    for kind in (0, REFUSED):
        after, last = first_id(route.id, kind), last_id(route.id, kind)
        while blocks := read_blocks(connection, after, last, sys.maxsize, READ_BYTES):
            after = blocks[-1].id
            for block in blocks:
                for index in range(len(block.bodies)):
                    if not (block.settled and block.settled[index]):
                        yield block, index


def _shown(route: StoredRoute, block: Block, index: int) -> bytes:
    """Return a record as a line that is safe for a terminal."""
    body = block.bodies[index]
    text = repr(body[:SHOWN])[1:]
    more = f"... {len(body)} bytes" if len(body) > SHOWN else ""
    message_id = f"{block.terms.message_ids}-{block.first + index}"
    key = block.routing_keys[index] if block.routing_keys else None
    keyed = "" if key is None else f" key {key!r}"
    return f"{route.name} {message_id}{keyed} {text}{more}\n".encode(errors="backslashreplace")
