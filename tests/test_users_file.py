"""The file of users: its lines, and what is said of those that are wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker import users_file
from netdemo.broker.login import Peer
from netdemo.broker.passwords import hash_password
from netdemo.broker.permissions import Permissions
from netdemo.broker.users_file import read_users, user_line
from netdemo.errors import NotAllowed, StartupError
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from netdemo.broker.users import User, Users

HASH = str(hash_password(b"pw", 1, 1))
FIELDS = (st.binary(max_size=9) | st.text(":%# \n*", max_size=9).map(str.encode)).map(
    lambda field: field.decode("utf-8", "surrogateescape")
)


class FileTestCase(SynchronousTestCase):
    """A test with a file that others may not read."""

    def setUp(self) -> None:
        self.path = temporary_folder(self) / "users"
        self.path.touch(0o600)

    def read(self, text: str | bytes) -> Users:
        """Return the users of a file."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_users(self.path, maybeDeferred)


class ReadingTests(FileTestCase):
    """Lines that are in order."""

    def user(self, text: str, name: str = "ann") -> User:
        """Return the user with this name, and the password ``pw``, in a file."""
        login = self.read(text).login("PLAIN", b"\0%b\0pw" % name.encode(), Peer())
        return self.successResultOf(login)

    def test_user_has_all_permissions_on_the_default_vhost(self) -> None:
        user = self.user(f"ann:{HASH}\n")
        self.assertEqual([("/", (".*",) * 3)], [(n, p.patterns) for n, p in user.vhosts.items()])

    def test_permissions_of_each_vhost_are_in_the_order_of_rabbitmq(self) -> None:
        user = self.user(f"ann:{HASH}:/a:c:w:r:/b:::")
        self.assertEqual(
            {"/a": ("c", "w", "r"), "/b": ("", "", "")},
            {name: permissions.patterns for name, permissions in user.vhosts.items()},
        )

    def test_user_with_permissions_elsewhere_has_none_on_the_default_vhost(self) -> None:
        users = self.read("ann:*:/a:.*:.*:.*")
        login = users.login("EXTERNAL", b"", Peer(common_name="ann"))
        ann = self.successResultOf(login)
        self.assertEqual({"/", "/a"}, users.vhosts)
        self.assertRaises(NotAllowed, users.enter, ann, "/")

    def test_each_line_is_a_user(self) -> None:
        text = f"ann:*\nbob:{HASH}\r\n\n  # ann:*\n cat:{HASH} "
        for name in ("bob", "cat"):
            self.assertEqual(name, self.user(text, name).name)

    def test_star_is_no_password(self) -> None:
        self.failureResultOf(self.read("ann:*").login("PLAIN", b"\0ann\0*", Peer()))

    def test_percent_stands_for_what_can_t_be_written(self) -> None:
        user = self.user(f"a%3Ab%25:{HASH}:%2fx:%3Ac:w%20:%23", "a:b%")
        (vhost, permissions) = next(iter(user.vhosts.items()))
        self.assertEqual(("/x", (":c", "w ", "#")), (vhost, permissions.patterns))

    def test_file_of_the_guide_is_one(self) -> None:
        guide = (Path(__file__).parents[1] / "docs" / "broker.md").read_text()
        (text,) = re.findall(r"^```\n(# ann .*?)^```$", guide, re.MULTILINE | re.DOTALL)
        users = self.read(text)
        found = {}
        for name in ("ann", "logger", "device"):
            login = users.login("EXTERNAL", b"", Peer(common_name=name))
            vhosts = self.successResultOf(login).vhosts
            found[name] = {vhost: each.patterns for vhost, each in vhosts.items()}
        everything, log = (".*", ".*", ".*"), ("^$", "^logs$", "^$")
        self.assertEqual(
            {
                "ann": {"/": everything},
                "logger": {"/logs": log},
                "device": {"/": everything, "/logs": log},
            },
            found,
        )

    def test_empty_file_has_nobody(self) -> None:
        self.assertEqual({"/"}, self.read("").vhosts)

    @settings(database=None, deadline=None)
    @given(st.lists(FIELDS.filter(bool), min_size=2, max_size=2), st.booleans())
    def test_any_line_that_is_written_is_read_again(self, names: list[str], known: bool) -> None:
        name, vhost = names
        password = hash_password(b"pw", 1, 1) if known else None
        line = user_line(name, password, {vhost: Permissions("^:", "%", "# ")})
        read = users_file._parse(line)
        assert read is not None
        patterns = {each: permissions.patterns for each, permissions in read.vhosts.items()}
        self.assertEqual((name, password), (read.name, read.password))
        self.assertEqual({vhost: ("^:", "%", "# ")}, patterns)
        self.assertRegex(line, r"\A[!-~]+\Z")
        self.assertFalse(line.startswith("#"))


class RefusalTests(FileTestCase):
    """Files that are wrong: one line, and no hash in it."""

    def refusal(self, text: str | bytes) -> str:
        """Return what is said of a file, after its path."""
        error = self.assertRaises(StartupError, self.read, text)
        said = str(error)
        self.assertTrue(said.startswith(f"'{self.path}'"), said)
        self.assertNotIn("\n", said)
        self.assertNotIn(HASH[-20:], said)
        return said.removeprefix(f"'{self.path}', ")

    def test_missing_fields(self) -> None:
        for line in ("ann", f":{HASH}", f"ann:{HASH}:/", f"ann:{HASH}:/:.*:.*:.*:", HASH):
            self.assertEqual(
                "line 2: expected NAME:HASH[:VHOST:CONFIGURE:WRITE:READ]...",
                self.refusal(f"# users\n{line}\n"),
            )

    def test_what_is_no_hash(self) -> None:
        for text in ("pw", "", HASH[:-20], HASH.replace("ln=1,", "ln=30,")):
            self.assertRegex(self.refusal(f"ann:{text}"), r"\Aline 1: expected ")

    def test_same_name_twice(self) -> None:
        text = self.refusal(f"ann:{HASH}\nbob:*\na%6en:{HASH}")
        self.assertEqual("line 3: expected user 'ann' once", text)

    def test_same_vhost_twice(self) -> None:
        text = self.refusal("ann:*:/::::/:::")
        self.assertEqual("line 1: expected virtual host '/' once", text)

    def test_malformed_pattern(self) -> None:
        for pattern in ("(", "*", "a{2,1}", "a{99999999999}"):
            text = self.refusal(f"ann:*:/:.*:{pattern}:.*")
            self.assertIn(f"line 1: expected a regular expression, not '{pattern}': ", text)

    def test_malformed_percent(self) -> None:
        for name in ("100%", "%zz", "%3"):
            text = self.refusal(f"{name}:*")
            self.assertEqual("line 1: expected % with two hexadecimal digits after it", text)

    def test_what_is_no_utf_8(self) -> None:
        self.assertEqual("line 2: expected UTF-8", self.refusal(b"ann:*\nb\xffb:*\n"))

    def test_what_is_too_long(self) -> None:
        self.patch(users_file, "MAX_FILE", 100)
        self.read("#" * 100)
        self.assertIn("expected at most 100 bytes", self.refusal("#" * 101))

    def test_missing_file(self) -> None:
        path = self.path.with_name("none")
        error = self.assertRaises(StartupError, read_users, path, maybeDeferred)
        self.assertEqual(f"cannot read '{path}': No such file or directory", str(error))

    def test_folder(self) -> None:
        error = self.assertRaises(StartupError, read_users, self.path.parent, maybeDeferred)
        self.assertEqual(f"cannot read '{self.path.parent}': Is a directory", str(error))


class ReadersTests(FileTestCase):
    """Who else may read the file."""

    def warnings(self, mode: int) -> list[Any]:
        """Return what is logged of a file with this mode."""
        events: list[Any] = []
        globalLogPublisher.addObserver(cast("Any", events.append))
        self.addCleanup(globalLogPublisher.removeObserver, cast("Any", events.append))
        self.path.chmod(mode)
        self.read("ann:*")
        return [event["path"] for event in events if "may be read" in event["log_format"]]

    def test_file_that_all_may_read_is_told(self) -> None:
        self.assertEqual([self.path], self.warnings(0o604))

    def test_file_of_a_group_is_in_order(self) -> None:
        self.assertEqual([], self.warnings(0o640))
