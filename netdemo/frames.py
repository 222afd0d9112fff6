"""AMQP frames, cut from what arrives and put around what is sent (AMQP 0-9-1, section 4.2.3)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pika.exceptions import InvalidFrameError

if TYPE_CHECKING:
    from collections.abc import Iterator

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3

OVERHEAD: Final = 8
"""Bytes of a frame besides its payload: type, channel, length; and the end."""

END: Final = 0xCE
_HEAD: Final = struct.Struct(">BHL")


class FrameTooLargeError(InvalidFrameError):
    """A frame of a `kind` has a payload of too many bytes, `length`."""

    def __init__(self, text: str, kind: int, length: int) -> None:
        super().__init__(text)
        self.kind = kind
        self.length = length


class FrameEndError(InvalidFrameError):
    """A frame of a `kind` with a `payload` has another octet, `end`, where its end should be."""

    def __init__(self, kind: int, payload: bytes, end: int) -> None:
        super().__init__("a frame without its end")
        self.kind = kind
        self.payload = payload
        self.end = end


class FrameReader:
    """Cuts frames from what arrives in any pieces; it keeps less than one frame."""

    def __init__(self) -> None:
        self._unread = b""

    def frames(self, data: bytes, frame_max: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield type, channel and payload of each frame that ``data`` completes.

        :raises InvalidFrameError: for what is no frame, or one of more than ``frame_max`` bytes.
        """
        unread = self._unread + data if self._unread else data
        start, size = 0, len(unread)
        while size - start >= _HEAD.size:
            kind, channel, length = _HEAD.unpack_from(unread, start)
            end = start + _HEAD.size + length
            if length + OVERHEAD > frame_max:
                raise FrameTooLargeError(f"a frame of more than {frame_max} bytes", kind, length)
            if end >= size:
                break
            if unread[end] != END:
                raise FrameEndError(kind, unread[start + _HEAD.size : end], unread[end])
            payload = unread[start + _HEAD.size : end]
            start = end + 1
            yield kind, channel, payload
        self._unread = unread[start:]


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return a frame."""
    return _HEAD.pack(kind, channel, len(payload)) + payload + b"\xce"
