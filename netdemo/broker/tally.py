"""Counts of what is added and removed."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")


class Tally(dict[Key, int]):
    """How often each key was added more than removed, where that is more than never."""

    def add(self, key: Key) -> None:
        """Count a key."""
        self[key] = self.get(key, 0) + 1

    def remove(self, key: Key) -> None:
        """Take one back of a key that is counted."""
        if self[key] > 1:
            self[key] -= 1
        else:
            del self[key]
