"""What is put on the wire, and taken from it, for each message.

These are the parts of pika's codec that cost the most where messages are many, written for the
one purpose: ``basic.publish``, ``basic.deliver``, and the properties (AMQP 0-9-1, sections 4.2.6
and 1.8.3). Tests hold them against pika's.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pika.data import decode_table, encode_table
from pika.exceptions import InvalidFrameError

from netdemo.amqp.message import Delivery, Message
from netdemo.frames import BODY, HEADER, METHOD, OVERHEAD, frame

if TYPE_CHECKING:
    from collections.abc import Callable

DELIVER: Final = b"\x00\x3c\x00\x3c"
"""Class and method of ``basic.deliver``."""

_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00"
_MANDATORY: Final = 1
_REDELIVERED: Final = 1

_HEADER: Final = struct.Struct(">HHQH")
_ANSWER: Final = struct.Struct(">HHQB")
_OCTET: Final = struct.Struct(">B")
_SHORT: Final = struct.Struct(">H")
_LONG_LONG: Final = struct.Struct(">Q")
_MAX_SHORT_STRING: Final = 255


def _encode_string(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogateescape")
    size = len(encoded)
    if size > _MAX_SHORT_STRING:
        raise ValueError(f"a string of {size} bytes: expected at most {_MAX_SHORT_STRING}")
    return b"%c%b" % (size, encoded)


def _decode_string(data: bytes, start: int) -> tuple[str, int]:
    """Decode a short string; what is not UTF-8 in it is kept, and encoded again as it was."""
    end = start + 1 + data[start]
    return data[start + 1 : end].decode("utf-8", "surrogateescape"), end


def _encode_table(value: dict[str, Any]) -> bytes:
    pieces: list[bytes] = []
    encode_table(pieces, value)
    return b"".join(pieces)


def _decode_octet(data: bytes, start: int) -> tuple[int, int]:
    return data[start], start + 1


def _decode_timestamp(data: bytes, start: int) -> tuple[int, int]:
    return _LONG_LONG.unpack_from(data, start)[0], start + _LONG_LONG.size


_STRING_CODEC: Final = (_encode_string, _decode_string)
_OCTET_CODEC: Final = (_OCTET.pack, _decode_octet)
_PROPERTIES: Final[tuple[tuple[int, str, tuple[Callable[..., Any], Callable[..., Any]]], ...]] = (
    (1 << 15, "content_type", _STRING_CODEC),
    (1 << 14, "content_encoding", _STRING_CODEC),
    (1 << 13, "headers", (_encode_table, decode_table)),
    (1 << 12, "delivery_mode", _OCTET_CODEC),
    (1 << 11, "priority", _OCTET_CODEC),
    (1 << 10, "correlation_id", _STRING_CODEC),
    (1 << 9, "reply_to", _STRING_CODEC),
    (1 << 8, "expiration", _STRING_CODEC),
    (1 << 7, "message_id", _STRING_CODEC),
    (1 << 6, "timestamp", (_LONG_LONG.pack, _decode_timestamp)),
    (1 << 5, "type", _STRING_CODEC),
    (1 << 4, "user_id", _STRING_CODEC),
    (1 << 3, "app_id", _STRING_CODEC),
)
"""Flag, name and codec of each, in the order in which they stand (section 1.8.3, class basic)."""

_ENCODERS: Final = tuple((name, flag, encode) for flag, name, (encode, _) in _PROPERTIES)


def encode_header(message: Message) -> bytes:
    """Return the payload of a content header.

    :raises Exception: of one kind or another, for a property that can't be encoded.
    """
    flags = 0
    values = [b""]
    properties = message.__dict__
    for name, flag, encode in _ENCODERS:
        if (value := properties[name]) is not None:
            flags |= flag
            values.append(encode(value))
    values[0] = _HEADER.pack(0x3C, 0, len(message.body), flags)
    return b"".join(values)


@lru_cache(maxsize=256)
def _properties_of(flags: int) -> list[tuple[str, Callable[..., Any]]]:
    return [(name, decode) for flag, name, (_, decode) in _PROPERTIES if flags & flag]


def decode_header(payload: bytes) -> tuple[int, dict[str, Any]]:
    """Return the size of the body, in bytes, and the properties by their names.

    :raises InvalidFrameError: for what is malformed.
    """
    try:
        _, _, size, flags = _HEADER.unpack_from(payload)
        values: dict[str, Any] = {"delivery_mode": None, "message_id": None}
        start = _HEADER.size
        for name, decode in _properties_of(flags):
            values[name], start = decode(payload, start)
    except Exception as error:  # of one kind or another
        raise InvalidFrameError(f"a header that can't be decoded: {error!r}") from error
    if start > len(payload):
        raise InvalidFrameError("a header that ends inside a property")
    return size, values


def decode_deliver(payload: bytes) -> tuple[str, int, bool, str, str]:
    """Return consumer tag, delivery tag, redelivered, exchange and routing key of a delivery.

    :raises InvalidFrameError: for what is malformed.
    """
    try:
        consumer_tag, start = _decode_string(payload, len(DELIVER))
        (delivery_tag,) = _LONG_LONG.unpack_from(payload, start)
        start += _LONG_LONG.size
        redelivered = payload[start] & _REDELIVERED != 0
        exchange, start = _decode_string(payload, start + 1)
        routing_key, start = _decode_string(payload, start)
    except (IndexError, struct.error) as error:
        raise InvalidFrameError(f"a delivery that can't be decoded: {error!r}") from error
    if start > len(payload):
        raise InvalidFrameError("a delivery that ends inside a name")
    return consumer_tag, delivery_tag, redelivered, exchange, routing_key


@lru_cache(maxsize=256)
def _encode_publish(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    names = _encode_string(exchange) + _encode_string(routing_key)
    flags = _OCTET.pack(_MANDATORY if mandatory else 0)
    return frame(METHOD, channel, _PUBLISH + names + flags)


def encode_publish(
    channel: int, message: Message, exchange: str, routing_key: str, mandatory: bool, frame_max: int
) -> bytes:
    """Return all frames of a ``basic.publish``.

    :raises ValueError: for a header of more than ``frame_max`` bytes, for which RabbitMQ would
        close the connection.
    :raises Exception: of one kind or another, for what can't be encoded.
    """
    header = encode_header(message)
    if len(header) + OVERHEAD > frame_max:
        raise ValueError(f"a frame of {len(header) + OVERHEAD} bytes: expected at most {frame_max}")
    frames = [
        _encode_publish(channel, exchange, routing_key, mandatory),
        frame(HEADER, channel, header),
    ]
    body, room = message.body, frame_max - OVERHEAD
    if len(body) <= room:
        if body:
            frames.append(frame(BODY, channel, body))
    else:
        pieces = range(0, len(body), room)
        frames += [frame(BODY, channel, body[start : start + room]) for start in pieces]
    return b"".join(frames)


def encode_ack(channel: int, delivery_tag: int, multiple: bool) -> bytes:
    """Return the frame of a ``basic.ack``."""
    return frame(METHOD, channel, _ANSWER.pack(0x3C, 0x50, delivery_tag, multiple))


def encode_nack(channel: int, delivery_tag: int, requeue: bool) -> bytes:
    """Return the frame of a ``basic.nack`` of one delivery."""
    return frame(METHOD, channel, _ANSWER.pack(0x3C, 0x78, delivery_tag, requeue << 1))


class DeliveryReader:
    """Puts deliveries together from their frames: a method, a header, and bodies.

    ``on_delivery`` is called with the consumer tag and the delivery, when that is whole.
    """

    def __init__(self, on_delivery: Callable[[str, Delivery], None], max_body: int) -> None:
        self._on_delivery = on_delivery
        self._max_body = max_body
        self._method: bytes | None = None
        self._properties: dict[str, Any] | None = None
        self._missing = 0
        self._pieces: list[bytes] = []

    def take(self, kind: int, payload: bytes) -> bool:
        """Take a frame of the channel if it belongs to a delivery; return whether it does.

        :raises InvalidFrameError: for a message of more than ``max_body`` bytes, or a frame that
            can't follow the one before.
        """
        if self._method is None:
            if kind != METHOD or not payload.startswith(DELIVER):
                return False
            self._method = payload
            return True
        if kind == HEADER and self._properties is None:
            self._missing, self._properties = decode_header(payload)
            if self._missing > self._max_body:
                raise InvalidFrameError(
                    f"a message of {self._missing} bytes, of {self._max_body} at most"
                )
        elif kind == BODY and 0 < len(payload) <= self._missing:
            self._missing -= len(payload)
            self._pieces.append(payload)
        else:
            raise InvalidFrameError(f"a frame of type {kind} inside a delivery")
        if not self._missing:
            self._finish(self._method, self._properties)
        return True

    def _finish(self, method: bytes, properties: dict[str, Any] | None) -> None:
        assert properties is not None
        message = Message(b"".join(self._pieces), **properties)
        self._method = self._properties = None
        self._pieces.clear()
        consumer_tag, delivery_tag, redelivered, exchange, routing_key = decode_deliver(method)
        self._on_delivery(
            consumer_tag, Delivery(message, exchange, routing_key, redelivered, delivery_tag)
        )
