"""``netdemo passwd``"""

from __future__ import annotations

import os
import re
import signal
from contextlib import contextmanager
from getpass import getpass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from twisted.internet.defer import CancelledError
from twisted.python import usage

from netdemo.broker.passwords import hash_password
from netdemo.broker.permissions import ALL, Permissions
from netdemo.broker.users import DEFAULT_VHOST
from netdemo.broker.users_file import user_line
from netdemo.cli.options import Options
from netdemo.cli.stdio import StandardOutput, check_standard_input, check_standard_output
from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PASSWORD: Final = 1000
"""Bytes; the frame in which a client sends it holds 4096."""

OPERATIONS: Final = ("configure", "write", "read")


class PasswdOptions(Options):
    """Options of ``netdemo passwd``."""

    synopsis = "NAME [--vhost VHOST] [--configure RE] [--write RE] [--read RE]"
    longdesc = (
        "Asks for a password twice, or reads one line of standard input that is no terminal, and "
        "prints the user's line for the file that twistd amqp-broker --users names. Without "
        "options the user may do all on the virtual host /. "
        "Example: netdemo passwd ann --vhost /logs --configure '^$' >> users"
    )
    optParameters: list[list[Any]] = [
        ["vhost", None, None, "The virtual host that the user may enter [default: /]"],
        *(
            [
                name,
                None,
                None,
                f"Names that the user may {name}, a regular expression [default: .*]",
            ]
            for name in OPERATIONS
        ),
    ]

    def parseArgs(self, name: str) -> None:  # type: ignore[override]
        if not name:
            raise usage.UsageError("bad NAME '': expected a name")
        self["name"] = name

    def postOptions(self) -> None:
        for name in OPERATIONS:
            try:
                re.compile(self[name] or ALL)
            except (re.error, OverflowError, RecursionError) as error:
                raise usage.UsageError(
                    f"bad --{name} {self[name]!r}: expected a regular expression: {error}"
                ) from None

    async def run(self, reactor: Any) -> None:
        """Print the line."""
        check_standard_output()
        check_standard_input("a password there")
        with _interruptible():
            password = _ask() if os.isatty(0) else _read()
        if not password:
            raise NetdemoError("the password is empty: expected some text")
        if len(password) > MAX_PASSWORD or b"\0" in password:
            raise NetdemoError(f"bad password: expected at most {MAX_PASSWORD} bytes, none a NUL")
        line = user_line(self["name"], hash_password(password), self._vhosts())
        output = StandardOutput(reactor)
        try:
            output.write(f"{line}\n".encode())
            await output.flush()
        finally:
            output.close()

    def _vhosts(self) -> dict[str, Permissions]:
        patterns = [self[name] for name in OPERATIONS]
        if self["vhost"] is None and not any(patterns):
            return {}
        permissions = Permissions(*(pattern or ALL for pattern in patterns))
        return {self["vhost"] or DEFAULT_VHOST: permissions}


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a signal end the reading, which the reactor can't: it waits for it, too.

    getpass shows what is typed again on the way out.
    """

    def interrupt(*_: object) -> NoReturn:
        raise CancelledError

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _ask() -> bytes:
    try:
        password = getpass("Password: ")
        if getpass("The same again: ") != password:
            raise NetdemoError("the two passwords differ: expected the same twice")
        return password.encode("utf-8", "surrogateescape")
    except EOFError:
        raise NetdemoError("no password: the terminal has ended") from None
    except UnicodeError:
        raise NetdemoError("bad password: expected UTF-8") from None


def _read() -> bytes:
    try:
        # Unbuffered, it leaves the lines behind it to the next program.
        with open(0, "rb", buffering=0, closefd=False) as standard_input:
            line = standard_input.readline(MAX_PASSWORD + 3)
    except OSError as error:
        raise NetdemoError(f"cannot read standard input: {error.strerror}") from None
    return line.rstrip(b"\r\n")
