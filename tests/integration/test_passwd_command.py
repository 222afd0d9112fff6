"""``netdemo passwd`` as a real process, on a terminal and in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import termios
from pathlib import Path
from typing import cast

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.login import Peer
from netdemo.broker.users_file import read_users
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, heed_interrupts

NETDEMO = PROGRAMS / "netdemo"
ASKED = b"Password: "
ASKED_AGAIN = b"The same again: "


class PasswdTestCase(SynchronousTestCase):
    """A test that looks at the line."""

    def check_login(self, line: bytes, name: str, password: bytes) -> None:
        """Check that `line` lets a user in, and that it is the only one."""
        self.assertEqual(1, line.count(b"\n"))
        path = temporary_folder(self) / "users"
        path.write_bytes(line)
        response = b"\0%b\0%b" % (os.fsencode(name), password)
        login = read_users(path, maybeDeferred).login("PLAIN", response, Peer())
        self.assertEqual(name, self.successResultOf(login).name)


class PipeTests(PasswdTestCase):
    """The password comes from a pipe."""

    def passwd(self, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end."""
        return subprocess.run(
            [NETDEMO, "passwd", *arguments],
            input=data,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def refusal(self, data: bytes) -> bytes:
        """Return the one line about a password that is refused, after the command's name."""
        done = self.passwd(data, "ann")
        self.assertEqual((1, b""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, rb"\Anetdemo passwd: [^\n]+\n\Z")
        return done.stderr.removeprefix(b"netdemo passwd: ")

    def test_one_line_is_the_password(self) -> None:
        for data in (b" p w \n", b" p w \r\n", b" p w ", b" p w \nmore\n"):
            done = self.passwd(data, "ann")
            self.assertEqual((0, b""), (done.returncode, done.stderr))
            self.assertNotIn(b"p w", done.stdout)
            self.check_login(done.stdout, "ann", b" p w ")

    def test_line_of_the_guide_makes_a_file_of_two_users(self) -> None:
        guide = (Path(__file__).parents[2] / "docs" / "broker.md").read_text()
        (line,) = re.findall(r"^\$ (\(umask .*)$", guide, re.MULTILINE)
        folder = temporary_folder(self)
        subprocess.run(
            ["sh", "-c", line],
            input=b"one\ntwo\n",
            cwd=folder,
            env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
            timeout=PATIENCE,
            check=True,
        )
        self.assertEqual(0o600, (folder / "users").stat().st_mode & 0o777)
        ann, bob = (folder / "users").read_bytes().splitlines(keepends=True)
        self.check_login(ann, "ann", b"one")
        self.check_login(bob, "bob", b"two")

    def test_bytes_of_any_kind_are_kept(self) -> None:
        done = self.passwd(b"\xff\xfe\n", "a:\udcff#")
        self.check_login(done.stdout, "a:\udcff#", b"\xff\xfe")

    def test_permissions_are_those_of_the_options(self) -> None:
        done = self.passwd(b"pw\n", "--vhost=/a", "ann", "--configure=^$")
        self.assertTrue(done.stdout.endswith(b":/a:^$:.*:.*\n"), done.stdout)

    def test_empty_password_is_refused(self) -> None:
        for data in (b"", b"\n", b"\r\n", b"\npw\n"):
            self.assertEqual(b"the password is empty: expected some text\n", self.refusal(data))

    def test_password_that_no_client_can_send_is_refused(self) -> None:
        for data in (b"x" * 1001, b"x" * 100_000, b"a\0b\n"):
            self.assertIn(b"expected at most 1000 bytes", self.refusal(data))
        self.assertEqual(0, self.passwd(b"x" * 1000 + b"\r\n", "ann").returncode)


class TerminalTests(PasswdTestCase):
    """The password is typed."""

    def setUp(self) -> None:
        heed_interrupts(self)
        self.terminal, inside = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        self.process = subprocess.Popen(
            [NETDEMO, "passwd", "ann"],
            stdin=inside,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.addCleanup(os.close, inside)  # what is shown stays readable when it has ended
        self.addCleanup(self.process.communicate)
        self.addCleanup(self.process.kill)
        self.shown = b""

    def see(self, text: bytes) -> None:
        """Wait until `text` is shown."""
        while text not in self.shown:
            self.shown += os.read(self.terminal, 1024)

    def type(self, text: bytes) -> None:
        """Type a line."""
        os.write(self.terminal, text + b"\n")

    def ended(self) -> tuple[int, bytes, bytes]:
        """Return status, standard output and standard error."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output, errors

    def echoes(self) -> bool:
        """Tell whether the terminal shows what is typed."""
        flags = cast("int", termios.tcgetattr(self.terminal)[3])
        return bool(flags & termios.ECHO)

    def test_it_is_asked_for_twice_and_not_shown(self) -> None:
        self.see(ASKED)
        self.assertFalse(self.echoes())
        self.type("pä".encode())
        self.see(ASKED_AGAIN)
        self.type("pä".encode())
        status, output, errors = self.ended()
        self.assertEqual((0, b""), (status, errors))
        self.check_login(output, "ann", "pä".encode())
        self.assertNotIn("ä".encode(), self.shown)
        self.assertTrue(self.echoes())

    def test_two_that_differ_are_refused(self) -> None:
        self.see(ASKED)
        self.type(b"pw")
        self.see(ASKED_AGAIN)
        self.type(b"pW")
        text = b"netdemo passwd: the two passwords differ: expected the same twice\n"
        self.assertEqual((1, b"", text), self.ended())

    def test_end_is_refused(self) -> None:
        self.see(ASKED)
        os.write(self.terminal, b"\x04")
        text = b"netdemo passwd: no password: the terminal has ended\n"
        self.assertEqual((1, b"", text), self.ended())

    def test_interrupted_it_shows_again_what_is_typed(self) -> None:
        self.see(ASKED)
        os.write(self.terminal, b"\x03")
        self.assertEqual((1, b"", b"netdemo passwd: interrupted\n"), self.ended())
        self.assertTrue(self.echoes())

    def test_stopped_it_shows_again_what_is_typed(self) -> None:
        self.see(ASKED)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual((1, b"", b"netdemo passwd: interrupted\n"), self.ended())
        self.assertTrue(self.echoes())
