"""Who is let in, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import globalLogPublisher

from netdemo.broker.login import Peer
from netdemo.broker.passwords import PasswordHash, hash_password
from netdemo.broker.permissions import Permissions
from netdemo.broker.users import MAX_HASHING, User, Users, guest_only
from netdemo.errors import CommandInvalid, LoginRefused, NotAllowed, SyntaxRefused
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.logger import ILogObserver

HERE = Peer()
ELSEWHERE = Peer("192.0.2.1:5", loopback=False)
PASSWORD = hash_password(b"pw", 1, 1)
REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism {}. "
    "For details see the broker logfile."
)


class UsersTestCase(TidyTestCase):
    """A test with users, and with what is logged."""

    def setUp(self) -> None:
        self.ann = User("ann", {"/": Permissions(), "/a": Permissions()}, PASSWORD)
        self.bob = User("bob", {"/b": Permissions()})
        self.users = Users([self.ann, self.bob], maybeDeferred)
        self.logged: list[str] = []
        observer = cast("ILogObserver", self._log)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _log(self, event: Any) -> None:
        if event["log_namespace"].startswith("netdemo"):
            self.logged.append(event["log_format"].replace("name!r", "name").format(**event))

    def plain(self, name: str, password: bytes, peer: Peer = HERE) -> Deferred[User]:
        """Log in with PLAIN."""
        return self.users.login("PLAIN", b"\0%b\0%b" % (name.encode(), password), peer)

    def refused(self, login: Deferred[User], mechanism: str = "PLAIN") -> str:
        """Return what is logged of `login`, which must be refused."""
        error: Any = self.failureResultOf(login, LoginRefused).value
        self.assertEqual((403, REFUSED.format(mechanism)), (error.reply_code, error.reply_text))
        (line,) = self.logged
        self.logged.clear()
        return line


class LoginTests(UsersTestCase):
    """Users of whom passwords or certificates are known."""

    def test_right_password_is_let_in(self) -> None:
        self.assertIs(self.ann, self.successResultOf(self.plain("ann", b"pw")))
        self.assertIs(self.ann, self.successResultOf(self.plain("ann", b"pw", ELSEWHERE)))
        self.assertEqual([], self.logged)

    def test_wrong_password_is_refused(self) -> None:
        for password in (b"", b"pW", b"pw "):
            self.assertEqual(
                "memory: PLAIN login refused: user ann - invalid credentials",
                self.refused(self.plain("ann", password)),
            )

    def test_unknown_user_is_refused_in_the_same_words(self) -> None:
        self.assertIn("user zoe - invalid", self.refused(self.plain("zoe", b"pw")))

    def test_empty_password_is_refused_even_where_it_is_the_one(self) -> None:
        self.users = Users([User("ann", {}, hash_password(b"", 1, 1))], maybeDeferred)
        self.assertIn("invalid credentials", self.refused(self.plain("ann", b"")))

    def test_user_without_a_password_is_refused_with_any(self) -> None:
        for password in (b"pw", b"*"):
            self.assertIn("user bob - invalid", self.refused(self.plain("bob", password)))

    def test_certificate_lets_its_user_in(self) -> None:
        for user in (self.ann, self.bob):
            login = self.users.login("EXTERNAL", b"", Peer(common_name=user.name))
            self.assertIs(user, self.successResultOf(login))

    def test_certificate_of_nobody_is_refused(self) -> None:
        login = self.users.login("EXTERNAL", b"", Peer("x:1", common_name="zoe"))
        line = self.refused(login, "EXTERNAL")
        self.assertEqual("x:1: EXTERNAL login refused: user zoe - invalid credentials", line)

    def test_malformed_response_fails(self) -> None:
        self.failureResultOf(self.users.login("PLAIN", b"pw", HERE), SyntaxRefused)

    def test_unknown_mechanism_fails(self) -> None:
        self.failureResultOf(self.users.login("PLAN", b"", HERE), CommandInvalid)

    def test_long_name_is_cut_in_the_log(self) -> None:
        self.assertLess(len(self.refused(self.plain("z" * 100_000, b"pw"))), 400)

    def test_password_is_not_shown(self) -> None:
        self.assertNotIn("PasswordHash", repr(self.ann))


class GuestTests(UsersTestCase):
    """The user of whom everyone knows the password."""

    def setUp(self) -> None:
        super().setUp()
        self.users = guest_only()

    def test_guest_is_let_in_from_here(self) -> None:
        user = self.successResultOf(self.plain("guest", b"guest"))
        permissions = self.users.enter(user, "/").permissions
        self.assertEqual((".*", ".*", ".*"), permissions.patterns)

    def test_guest_is_refused_from_elsewhere(self) -> None:
        self.assertEqual(
            "192.0.2.1:5: PLAIN login refused: user guest - can only connect via localhost",
            self.refused(self.plain("guest", b"guest", ELSEWHERE)),
        )

    def test_wrong_password_is_refused(self) -> None:
        self.assertIn("invalid", self.refused(self.plain("guest", b"pw")))

    def test_guest_of_others_is_refused_from_elsewhere_too(self) -> None:
        self.users = Users([User("guest", {}, PASSWORD)], maybeDeferred)
        self.assertIn("localhost", self.refused(self.plain("guest", b"pw", ELSEWHERE)))
        self.successResultOf(self.plain("guest", b"pw"))


class EnteringTests(UsersTestCase):
    """Virtual hosts, when a connection is opened."""

    def not_allowed(self, user: User, vhost: str) -> str:
        """Return why `user` may not enter."""
        refusal = self.assertRaises(NotAllowed, self.users.enter, user, vhost)
        self.assertEqual((530, True), (refusal.reply_code, refusal.closes_connection))
        return str(refusal.reply_text)

    def test_those_that_are_named_and_the_default_one_are_there(self) -> None:
        self.assertEqual({"/", "/a", "/b"}, self.users.vhosts)
        self.assertEqual({"/"}, Users([], maybeDeferred).vhosts)

    def test_user_with_permissions_enters(self) -> None:
        access = self.users.enter(self.ann, "/a")
        self.assertEqual(("ann", "/a"), (access.user, access.vhost))
        self.assertIs(self.ann.vhosts["/a"], access.permissions)

    def test_user_without_is_refused(self) -> None:
        self.assertEqual(
            "NOT_ALLOWED - access to vhost '/' refused for user 'bob'",
            self.not_allowed(self.bob, "/"),
        )

    def test_vhost_that_is_not_there_is_refused(self) -> None:
        self.assertEqual("NOT_ALLOWED - vhost x not found", self.not_allowed(self.ann, "x"))


@attrs.frozen
class CountedHash(PasswordHash):
    """A hash that notes when it is tried."""

    tried: list[bytes] = attrs.field(factory=list, kw_only=True)

    def matches(self, password: bytes) -> bool:
        """Try it."""
        self.tried.append(password)
        return super().matches(password)


class TryingTests(UsersTestCase):
    """Passwords are tried elsewhere, a few at once."""

    def setUp(self) -> None:
        super().setUp()
        self.begun: list[tuple[Callable[[], bool], Deferred[bool]]] = []
        self.users = Users([self.ann, self.bob], self.run_later)

    def run_later(self, tried: Callable[[], bool]) -> Deferred[bool]:
        """Note what is to be run."""
        done: Deferred[bool] = Deferred()
        self.begun.append((tried, done))
        return done

    def finish(self, number: int) -> None:
        """Run what was begun as this one."""
        tried, done = self.begun[number]
        done.callback(tried())

    def test_login_waits_for_it(self) -> None:
        login = self.plain("ann", b"pw")
        self.assertNoResult(login)
        self.finish(0)
        self.assertIs(self.ann, self.successResultOf(login))

    def test_unknown_user_and_one_without_a_password_cost_as_much(self) -> None:
        counted = CountedHash(1, 1, 1, PASSWORD.salt, PASSWORD.hashed)
        self.users = Users([User("ann", {}, counted), self.bob], maybeDeferred)
        for name in ("zoe", "bob", "ann"):
            self.refused(self.plain(name, b"x"))
            self.assertEqual([b"x"], counted.tried)
            counted.tried.clear()

    def test_most_costly_password_is_the_measure(self) -> None:
        cheap = CountedHash(1, 1, 1, b"", b"")
        costly = CountedHash(2, 1, 1, b"", b"")
        both = [User("ann", {}, cheap), User("bob", {}, costly)]
        for users in (both, both[::-1]):
            self.users = Users(users, maybeDeferred)
            self.refused(self.plain("zoe", b"x"))
        self.assertEqual(([], [b"x"] * 2), (cheap.tried, costly.tried))

    def test_others_wait_their_turn(self) -> None:
        logins = [self.plain("ann", b"pw") for _ in range(MAX_HASHING + 2)]
        self.assertEqual(MAX_HASHING, len(self.begun))
        for number in range(len(logins)):
            self.finish(number)
            self.assertIs(self.ann, self.successResultOf(logins[number]))

    def test_certificate_does_not_wait(self) -> None:
        logins = [self.plain("ann", b"pw") for _ in range(MAX_HASHING)]
        self.successResultOf(self.users.login("EXTERNAL", b"", Peer(common_name="bob")))
        for number in range(len(logins)):
            self.finish(number)

    def test_one_that_is_cancelled_keeps_its_place_until_it_is_done(self) -> None:
        logins = [self.plain("ann", b"pw") for _ in range(MAX_HASHING + 1)]
        logins[0].cancel()
        self.failureResultOf(logins[0], CancelledError)
        self.assertEqual(MAX_HASHING, len(self.begun))
        self.finish(0)
        self.assertEqual(MAX_HASHING + 1, len(self.begun))

    def test_one_that_is_cancelled_in_the_queue_leaves_it(self) -> None:
        logins = [self.plain("ann", b"pw") for _ in range(MAX_HASHING + 2)]
        logins[-2].cancel()
        self.failureResultOf(logins[-2], CancelledError)
        for number in range(MAX_HASHING + 1):
            self.finish(number)
        self.assertIs(self.ann, self.successResultOf(logins[-1]))

    def test_one_that_fails_gives_its_place_to_the_next(self) -> None:
        logins = [self.plain("ann", b"pw") for _ in range(MAX_HASHING + 1)]
        self.begun[0][1].errback(MemoryError())
        self.failureResultOf(logins[0], MemoryError)
        self.assertEqual(MAX_HASHING + 1, len(self.begun))

    def test_one_that_fails_when_it_was_cancelled_is_let_go(self) -> None:
        login = self.plain("ann", b"pw")
        login.cancel()
        self.failureResultOf(login, CancelledError)
        self.begun[0][1].errback(MemoryError())
