"""Who may use the broker, and which of its virtual hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, fail, maybeDeferred
from twisted.logger import Logger

from netdemo.broker.login import credentials, login_refused
from netdemo.broker.passwords import PasswordHash, hash_password
from netdemo.broker.permissions import Access, Permissions
from netdemo.errors import ConnectionRefusal, NotAllowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from netdemo.broker.login import Credentials, Peer

DEFAULT_VHOST: Final = "/"

LOOPBACK_USER: Final = "guest"
"""Who may log in from this machine alone, as with RabbitMQ."""

MAX_HASHING: Final = 2
"""Passwords that are tried at once; other logins wait their turn."""

MAX_LOGGED: Final = 255
"""Characters of a name in the log."""

T = TypeVar("T")
Run: TypeAlias = "Callable[[Callable[[], T]], Deferred[T]]"
"""Calls a function somewhere, in a thread perhaps, and fires with its result."""


@attrs.frozen(eq=False)
class User:
    """Someone who is known, and what he may do in each virtual host that he may enter.

    `password` is ``None`` for one who needs a certificate.
    """

    name: str
    vhosts: Mapping[str, Permissions]
    password: PasswordHash | None = attrs.field(default=None, repr=False)


class Users:
    """All users; `vhosts` are the virtual hosts that there are.

    Passwords are tried with ``run``, which keeps them off the reactor's thread, `MAX_HASHING` at
    once.
    """

    _log = Logger()

    def __init__(self, users: Iterable[User], run: Run[bool]) -> None:
        self._users = {user.name: user for user in users}
        named = (name for user in self._users.values() for name in user.vhosts)
        self.vhosts = frozenset((DEFAULT_VHOST, *named))
        hashes = [user.password for user in self._users.values() if user.password is not None]
        # Tried for those who have none, so that nobody learns from the time which names exist.
        self._nobodys = max(hashes, key=lambda each: each.cost) if hashes else hash_password(b"")
        self._run = run
        self._hashing = DeferredSemaphore(MAX_HASHING)

    def login(self, mechanism: str, response: bytes, peer: Peer) -> Deferred[User]:
        """Fire with the user that ``connection.start-ok`` names.

        Fails with `LoginRefused`, with `SyntaxRefused` for a malformed response, or with
        `CommandInvalid` for a mechanism that was not offered; RabbitMQ sends the first, to
        clients that have the capability ``authentication_failure_close``, and otherwise just
        closes. It may be cancelled.
        """
        try:
            given = credentials(mechanism, response, peer)
        except ConnectionRefusal as refusal:
            return fail(refusal)

        def proven(is_proven: bool) -> User:
            user = self._users.get(given.name)
            if user is None or not is_proven:
                reason = "invalid credentials"
            elif user.name == LOOPBACK_USER and not peer.loopback:
                reason = "can only connect via localhost"
            else:
                return user
            self._log.warn(
                "{peer}: {mechanism} login refused: user {name!r} - {reason}",
                peer=peer.name,
                mechanism=mechanism,
                name=given.name[:MAX_LOGGED],
                reason=reason,
            )
            raise login_refused(mechanism)

        return self._prove(given).addCallback(proven)

    def enter(self, user: User, vhost: str) -> Access:
        """Let ``user`` into ``vhost``.

        :raises NotAllowed: if there is no such virtual host, or he has no permissions there.
        """
        if vhost not in self.vhosts:
            raise NotAllowed(f"vhost {vhost} not found")
        permissions = user.vhosts.get(vhost)
        if permissions is None:
            raise NotAllowed(f"access to vhost '{vhost}' refused for user '{user.name}'")
        return Access(user.name, vhost, permissions)

    def _prove(self, given: Credentials) -> Deferred[bool]:
        """Fire with whether they are someone's; who that is has to be looked at still."""
        password = given.password
        if password is None:
            return maybeDeferred(lambda: True)
        user = self._users.get(given.name)
        expected = None if user is None else user.password

        def tried() -> bool:
            is_right = (expected or self._nobodys).matches(password)
            return is_right and expected is not None and password != b""

        return self._hashing.acquire().addCallback(lambda _: self._try(tried))

    def _try(self, tried: Callable[[], bool]) -> Deferred[bool]:
        """Run ``tried``, which keeps its place until it is done, also when nobody waits."""
        result: Deferred[bool] = Deferred()
        trying = self._run(tried)
        trying.addBoth(self._release)
        trying.addCallbacks(result.callback, result.errback)
        return result

    def _release(self, result: T) -> T:
        self._hashing.release()
        return result


def guest_only() -> Users:
    """Return the one user ``guest``, whose password everyone knows, with all permissions."""
    cheap = hash_password(LOOPBACK_USER.encode(), log_n=1, block_size=1)
    return Users([User(LOOPBACK_USER, {DEFAULT_VHOST: Permissions()}, cheap)], maybeDeferred)
