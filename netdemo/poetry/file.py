"""A poem: a regular file, open to be sent once."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class PoemFile:
    """The file at ``path``, open, of the `size` in bytes that it has now.

    It is read from its start to its `size`, and no further if it grows meanwhile. Opening does
    not wait, as it would for a pipe in the file's place. Reading blocks while the kernel fetches
    what it has not in memory.

    :raises OSError: with a ``strerror`` for people, when it can't be opened, or is no regular file
        of a known size.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "expected a regular file", str(path))
        self.size = self.left = found.st_size
        if not self.size and os.read(self._descriptor, 1):  # those in /proc are like that
            self.close()
            raise OSError(errno.EINVAL, "expected a file that knows its size", str(path))

    def read(self, count: int) -> bytes:
        """Return the next bytes, at most ``count`` of them; none at the end.

        :raises OSError: when it can't be read, or has become shorter.
        """
        data = os.read(self._descriptor, min(count, self.left))
        self._passed(len(data))
        return data

    def send_to(self, socket: int, count: int) -> None:
        """Have the kernel copy the next bytes to a socket, at most ``count`` and what it takes.

        :raises BlockingIOError: when the socket takes nothing now.
        :raises ConnectionError: when its peer has left.
        :raises OSError: when the file can't be read, or has become shorter.
        """
        offset = self.size - self.left
        self._passed(os.sendfile(socket, self._descriptor, offset, min(count, self.left)))

    def close(self) -> None:
        """Close it, if it is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _passed(self, count: int) -> None:
        if count == 0 and self.left:
            found = self.size - self.left
            raise OSError(errno.EIO, f"it became shorter than its {self.size} bytes at {found}")
        self.left -= count
