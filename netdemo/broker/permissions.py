"""What a user may do in a virtual host: RabbitMQ's three patterns, and its words of refusal."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import attrs

from netdemo.errors import AccessRefused

if TYPE_CHECKING:
    from collections.abc import Callable

ALL: Final = ".*"
"""The pattern of every name."""

MAX_CACHED: Final = 1000
"""Names of which each pattern remembers whether it matches."""

EXCHANGE: Final = "exchange"
QUEUE: Final = "queue"


def _test(pattern: str) -> Callable[[str], bool]:
    search = re.compile(pattern or "^$").search
    return lru_cache(MAX_CACHED)(lambda name: search(name) is not None)


class Permissions:
    """Patterns of the names that a user may configure, write and read.

    They are regular expressions, searched for anywhere in a name; the empty one stands for
    ``^$``. The default exchange has the name ``amq.default`` here.

    :raises re.error: for what is no regular expression.
    """

    def __init__(self, configure: str = ALL, write: str = ALL, read: str = ALL) -> None:
        self.patterns = (configure, write, read)
        self.may_configure = _test(configure)
        self.may_write = _test(write)
        self.may_read = _test(read)


@attrs.frozen
class Access:
    """A user's way into a virtual host; each check raises `AccessRefused` or returns.

    ``kind`` is `EXCHANGE` or `QUEUE`; the exchange ``""`` is the default one.
    """

    user: str
    vhost: str
    permissions: Permissions

    def check_configure(self, kind: str, name: str) -> None:
        """Let it be declared or deleted."""
        if not self.permissions.may_configure(_named(name)):
            self._refuse(kind, name)

    def check_write(self, kind: str, name: str) -> None:
        """Let an exchange be published to, or either be the destination of a binding."""
        if not self.permissions.may_write(_named(name)):
            self._refuse(kind, name)

    def check_read(self, kind: str, name: str) -> None:
        """Let a queue be consumed from or purged, or an exchange be the source of a binding."""
        if not self.permissions.may_read(_named(name)):
            self._refuse(kind, name)

    def _refuse(self, kind: str, name: str) -> None:
        place = f"{kind} '{_named(name)}' in vhost '{self.vhost}'"
        raise AccessRefused(f"access to {place} refused for user '{self.user}'")


def _named(name: str) -> str:
    return name or "amq.default"  # no queue has an empty name
