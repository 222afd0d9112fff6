"""Frames taken apart by pika's codec."""

from __future__ import annotations

from typing import Any

from pika.frame import decode_frame


def frames_in(data: bytes) -> list[Any]:
    """Return the frames in `data`, all of which must be whole."""
    frames = []
    while data:
        size, value = decode_frame(data)
        assert value is not None, data
        frames.append(value)
        data = data[size:]
    return frames
