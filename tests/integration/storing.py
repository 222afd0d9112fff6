"""A process that puts numbered messages into a store until it is killed.

It prints the number of each that is on disk: ``python -m tests.integration.storing FOLDER FIRST``.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from twisted.internet import reactor

from netdemo.broker.store import Store, open_store
from tests.stores import message

QUEUE = 1
WAITING = 100_000
"""Bytes of messages that may wait for the disk."""


def turn(store: Store, number: int) -> None:
    """Put some messages, remove the older half of them, and have the reactor do it again."""
    if store.waiting_bytes < WAITING:
        for _ in range(20):
            store.put(QUEUE, number, message(b"%d" % number), None)
            if number % 2:
                store.remove(QUEUE, number - 1)
            number += 1
        store.on_disk(partial(print, number - 1, flush=True))
        store.commit()
    reactor.callLater(0, turn, store, number)


def main() -> None:
    """Open the store and begin."""
    folder, first = sys.argv[1:]
    store = open_store(Path(folder), reactor)
    if int(first) == 0:
        store.add_exchange("/", "e", "topic", False, False, b"table")
        store.add_queue(QUEUE, "/", "q", False, b"")
        store.add_binding("/", "e", "queue", "q", "key", b"")
    reactor.callWhenRunning(turn, store, int(first))
    reactor.run()


if __name__ == "__main__":
    main()
