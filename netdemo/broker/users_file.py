"""The file of users: one a line, made by ``netdemo passwd``.

``NAME:HASH[:VHOST:CONFIGURE:WRITE:READ]...``, where ``%3A`` stands for a colon within a field, as
in URLs. Without permissions a user has all on the virtual host ``/``. The hash ``*`` is that of no
password: such a user needs a certificate. A line that begins with ``#`` is a comment.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from twisted.logger import Logger

from netdemo.broker.passwords import parse_password_hash
from netdemo.broker.permissions import Permissions
from netdemo.broker.users import DEFAULT_VHOST, User, Users
from netdemo.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from netdemo.broker.passwords import PasswordHash
    from netdemo.broker.users import Run

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of a file."""

NO_PASSWORD: Final = "*"

EXPECTED: Final = "NAME:HASH[:VHOST:CONFIGURE:WRITE:READ]..."
_PERMISSION_FIELDS: Final = 4
_OTHERS_MAY: Final = 0o007

_SAFE: Final = "!\"$&'()*+,-./;<=>?@[\\]^_`{|}~"
_BAD_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")

_log = Logger()


def user_line(
    name: str, password: PasswordHash | None, vhosts: Mapping[str, Permissions] | None = None
) -> str:
    """Return the line for a user; without ``vhosts`` he has all permissions on ``/``."""
    fields = [_encoded(name), NO_PASSWORD if password is None else str(password)]
    for vhost, permissions in (vhosts or {}).items():
        fields += map(_encoded, (vhost, *permissions.patterns))
    return ":".join(fields)


def read_users(path: Path, run: Run[bool]) -> Users:
    """Return the users in a file, whose passwords are tried with ``run``.

    A file that all may read is told in the log.

    :raises StartupError: with the line and what was expected there; never with a hash.
    """
    try:
        with path.open("rb") as file:
            _warn_of_readers(path, file)
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise StartupError(f"cannot read {str(path)!r}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise StartupError(f"{str(path)!r}: expected at most {MAX_FILE} bytes")
    users: dict[str, User] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            user = _parse(line.decode().strip())
            if user is not None and user.name in users:
                raise ValueError(f"expected user {user.name!r} once")
        except UnicodeDecodeError:
            raise StartupError(f"{str(path)!r}, line {number}: expected UTF-8") from None
        except ValueError as error:
            raise StartupError(f"{str(path)!r}, line {number}: {error}") from None
        if user is not None:
            users[user.name] = user
    return Users(users.values(), run)


def _warn_of_readers(path: Path, file: BinaryIO) -> None:
    if os.fstat(file.fileno()).st_mode & _OTHERS_MAY:
        _log.warn("{path} may be read by all: chmod o= it", path=path)


def _parse(line: str) -> User | None:
    """Return the user of a line, ``None`` for a comment or an empty one."""
    if not line or line.startswith("#"):
        return None
    name, *fields = (_decoded(field) for field in line.split(":"))
    if not name or len(fields) % _PERMISSION_FIELDS != 1:
        raise ValueError(f"expected {EXPECTED}")
    password = None if fields[0] == NO_PASSWORD else parse_password_hash(fields[0])
    vhosts: dict[str, Permissions] = {}
    for start in range(1, len(fields), _PERMISSION_FIELDS):
        vhost, *patterns = fields[start : start + _PERMISSION_FIELDS]
        if vhost in vhosts:
            raise ValueError(f"expected virtual host {vhost!r} once")
        vhosts[vhost] = _permissions(patterns)
    return User(name, vhosts or {DEFAULT_VHOST: Permissions()}, password)


def _permissions(patterns: Iterable[str]) -> Permissions:
    """Compile the patterns to configure, write and read."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"expected a regular expression, not {pattern!r}: {error}") from None
    return Permissions(*patterns)


def _encoded(field: str) -> str:
    return quote(field, safe=_SAFE, errors="surrogateescape")


def _decoded(field: str) -> str:
    if _BAD_PERCENT.search(field):
        raise ValueError("expected % with two hexadecimal digits after it")
    return unquote(field, errors="surrogateescape")
