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
_PROTOCOL_HEADER: Final = b"AMQP"
_PROTOCOL_HEADER_SIZE: Final = 8


class BadFrame(InvalidFrameError):
    """What arrived is no frame: one of this `kind` by its head, with the octets that were read.

    `problem` is the name that RabbitMQ has for it, and what it tells besides.
    """

    def __init__(self, text: str, kind: int, octets: bytes, problem: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.octets = octets
        self.problem = problem


class FrameReader:
    """Cuts frames from what arrives in any pieces; it keeps less than one frame."""

    def __init__(self) -> None:
        self._unread = b""

    def frames(self, data: bytes, frame_max: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield type, channel and payload of each frame that `data` completes.

        :raises BadFrame: for what is no frame, or one of more than `frame_max` bytes.
        """
        unread = self._unread + data if self._unread else data
        start, size = 0, len(unread)
        while size - start >= OVERHEAD:
            kind, channel, length = _HEAD.unpack_from(unread, start)
            end = start + _HEAD.size + length
            if length + OVERHEAD > frame_max:
                _refuse(unread[start:], frame_max, kind, length)
            if end >= size:
                break
            if unread[end] != END:
                raise BadFrame(
                    "a frame without its end",
                    kind,
                    unread[start + _HEAD.size : end],
                    f"{{invalid_frame_end_marker,{unread[end]}}}",
                )
            payload = unread[start + _HEAD.size : end]
            start = end + 1
            yield kind, channel, payload
        self._unread = unread[start:]


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return a frame."""
    return _HEAD.pack(kind, channel, len(payload)) + payload + b"\xce"


def _refuse(unread: bytes, frame_max: int, kind: int, length: int) -> None:
    if unread.startswith(_PROTOCOL_HEADER):  # how a peer refuses a version (section 4.2.2)
        version = "-".join(str(number) for number in unread[5:_PROTOCOL_HEADER_SIZE])
        raise InvalidFrameError(f"it speaks AMQP {version}, not 0-9-1")
    problem = f"{{frame_too_large,{length},{frame_max - OVERHEAD}}}"
    raise BadFrame(f"a frame of more than {frame_max} bytes", kind, b"", problem)
