"""Where downloads go: to files, which are named when they are complete."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final

from twisted.internet.interfaces import IConsumer
from zope.interface import implementer

from netdemo.errors import NetdemoError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from twisted.internet.interfaces import IProducer

PIECE: Final = 64 * 1024
"""Bytes that are read at once."""

TOKEN_BYTES: Final = 8
"""Random bytes in a temporary name."""


@contextmanager
def _trying(what: str) -> Iterator[None]:
    """Say of an ``OSError`` what could not be done."""
    try:
        yield
    except OSError as error:
        raise NetdemoError(f"cannot {what}: {error.strerror}") from error


@implementer(IConsumer)
class FileWriter:
    """Writes what it is sent to an open file; `written` counts the bytes.

    It never pauses its producer: a disk is waited for. What can't be written raises
    `NetdemoError`. Unlike Twisted's ``FileConsumer`` it leaves the file open at the end, to be
    read, or to be told of a disk that turns out to be full when it is closed.
    """

    def __init__(self, file: IO[bytes], name: str = "temporary file") -> None:
        self.file = file
        self.written = 0
        self._name = name

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Do nothing: it is never paused."""

    def unregisterProducer(self) -> None:
        """Do nothing: whether all has come is for others to say."""

    def write(self, data: bytes) -> None:
        with _trying(f"write {self._name}"):
            self.file.write(data)
        self.written += len(data)

    def complete(self) -> None:
        """Keep the file: all has come."""
        with _trying(f"write {self._name}"):
            self.file.flush()

    def pieces(self) -> Iterator[bytes]:
        """Read it from its start."""
        with _trying(f"read {self._name}"):
            self.file.seek(0)
            while piece := self.file.read(PIECE):
                yield piece

    def close(self) -> None:
        """Close the file, and remove it unless it is to be kept."""
        with suppress(OSError):  # what is in its buffer is not wanted
            self.file.close()


class NamedFileWriter(FileWriter):
    """Writes a file that takes its name, in place of another, when it is complete.

    Until then it has a hidden name in the same directory.

    :raises NetdemoError: when it can't be created.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(TOKEN_BYTES)}")
        with _trying(f"write {path}"):
            super().__init__(open(self._temporary, "xb"), str(path))  # noqa: SIM115

    def complete(self) -> None:
        with _trying(f"write {self._name}"):
            self.file.close()
            os.replace(self._temporary, self._path)

    def close(self) -> None:
        super().close()
        with suppress(OSError):  # it has its name, perhaps
            self._temporary.unlink()
