"""Methods and contents on the wire, from the broker's side.

The codec is pika's, but for what comes and goes with every message: that is read and written here,
and tests hold it against pika's.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pika import spec

from netdemo.broker.properties import START
from netdemo.broker.tables import read_table
from netdemo.broker.terms import shown
from netdemo.errors import (
    CommandInvalid,
    FrameRefused,
    Refusal,
    SyntaxRefused,
    TextRefused,
    UnexpectedFrame,
)
from netdemo.frames import (
    BODY,
    HEADER,
    METHOD,
    OVERHEAD,
    FrameEndError,
    FrameTooLargeError,
    frame,
)

if TYPE_CHECKING:
    from pika.amqp_object import Method
    from pika.exceptions import InvalidFrameError

    from netdemo.broker.message import Message

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
"""What a client says first, and a broker to one that says anything else (section 4.2.2)."""

PROTOCOL_HEADERS: Final = (PROTOCOL_HEADER, b"AMQP\x01\x01\x00\x09", b"AMQP\x01\x01\x08\x00")
"""What RabbitMQ takes for it."""

HEARTBEAT: Final = 8
HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

PUBLISH: Final = b"\x00\x3c\x00\x28"
ACK: Final = b"\x00\x3c\x00\x50"
BASIC_PUBLISH: Final = (60, 40)
"""Class and method, in numbers, of what a content belongs to."""

_DELIVER: Final = b"\x00\x3c\x00\x3c"
_INDEX: Final = struct.Struct(">I")
_ACK: Final = struct.Struct(">4sQB")
_DELIVERY: Final = struct.Struct(">QB")
_HEAD: Final = struct.Struct(">BHL")
_END: Final = b"\xce"
_OF_ANY_BYTES: Final = (
    spec.Basic.Publish,
    spec.Connection.StartOk,
    spec.Connection.Secure,
    spec.Connection.SecureOk,
    spec.Connection.Start,
    spec.Connection.UpdateSecret,
    spec.Channel.OpenOk,
)
"""Methods with long strings, and, to RabbitMQ, a publish: they may hold any bytes."""

_NO_ARGUMENTS: Final = b"\x00\x00\x00\x00"
_WITH_ARGUMENTS: Final = (
    spec.Exchange.Declare,
    spec.Exchange.Bind,
    spec.Exchange.Unbind,
    spec.Queue.Declare,
    spec.Queue.Bind,
    spec.Queue.Unbind,
    spec.Basic.Consume,
)
"""Methods that end with a table of arguments."""

_MAX_TEXT: Final = 255
"""Bytes of a short string."""

_NAMES_KEPT: Final = 4096
"""Pairs of names whose encoding is kept, so that it need not be done for each message."""


class Bounded(bytes):
    """Bytes that refuse a slice beyond their end, which pika's codec does not notice."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice) and key.stop is not None and key.stop > len(self):
            raise ValueError("it ends too early")
        return super().__getitem__(key)


class Publish(NamedTuple):
    """A ``basic.publish``."""

    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool


def text(value: str | bytes) -> str:
    """Return a name of any bytes as a ``str`` that is encoded again as it was."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def raw(value: str) -> bytes:
    """Return the bytes of a name."""
    return value.encode("utf-8", "surrogateescape")


def shortened(reply_text: str) -> str:
    """Return a reply text that fits into a short string, cut as RabbitMQ cuts it."""
    encoded = raw(reply_text)
    return reply_text if len(encoded) <= _MAX_TEXT else text(encoded[: _MAX_TEXT - 3] + b"...")


def method_of(payload: bytes) -> tuple[int, int]:
    """Return the numbers of class and method of a method's payload, 0 for what is too short."""
    if len(payload) < _INDEX.size:
        return 0, 0
    (index,) = _INDEX.unpack_from(payload)
    return index >> 16, index & 0xFFFF


def read_method(payload: bytes) -> Any:
    """Decode a method; its names are ``str``, its arguments what `read_table` returns.

    :raises FrameRefused: for one that is malformed; `TextRefused` for a text that is not UTF-8.
    :raises SyntaxRefused: for a table that is malformed.
    :raises CommandInvalid: for one that AMQP does not have.
    """
    if len(payload) < _INDEX.size:
        raise unknown_frame(METHOD, payload)
    (index,) = _INDEX.unpack_from(payload)
    if index not in spec.methods:
        raise CommandInvalid("unimplemented method")
    kind: Any = spec.methods[index]
    method: Any = kind.__new__(kind)  # some can't be made without what is decoded now
    try:
        is_whole = _decode(method, payload)
    except SyntaxRefused:
        raise
    except Exception:  # pika's codec raises anything
        is_whole = False
    if not is_whole:
        raise FrameRefused(f"cannot decode {shown(('', payload[_INDEX.size :]))}")
    for name, value in vars(method).items():
        if isinstance(value, bytes):
            if not isinstance(method, _OF_ANY_BYTES):
                raise TextRefused
            setattr(method, name, text(value))
    return method


def _decode(method: Any, payload: bytes) -> bool:
    """Decode a method; return whether nothing is missing, and nothing follows."""
    try:
        method.decode(Bounded(payload), _INDEX.size)
    except Exception:
        if not isinstance(method, _WITH_ARGUMENTS):
            raise
        # pika does not know all types of values; what comes before the table it has decoded
    if isinstance(method, spec.Connection.StartOk | spec.Connection.UpdateSecret):
        return True  # of the latter pika does not keep all
    if not isinstance(method, _WITH_ARGUMENTS):
        return _INDEX.size + sum(map(len, method.encode())) == len(payload)
    method.arguments = {}
    start = _INDEX.size + sum(map(len, method.encode())) - len(_NO_ARGUMENTS)
    (length,) = _INDEX.unpack_from(payload, start)
    if start + _INDEX.size + length != len(payload):
        return False
    method.arguments = read_table(payload[start:])
    return True


def unknown_frame(kind: int, payload: bytes) -> FrameRefused:
    """Return the refusal of a frame that AMQP does not have."""
    return FrameRefused(f"type {kind}, all octets = {shown(('', payload))}: unknown_frame")


def broken_frame(error: InvalidFrameError, frame_max: int) -> FrameRefused:
    """Return the refusal of what is no frame."""
    if isinstance(error, FrameTooLargeError):
        limit = frame_max - OVERHEAD
        octets, problem = b"", f"{{frame_too_large,{error.length},{limit}}}"
    elif isinstance(error, FrameEndError):
        octets, problem = error.payload, f"{{invalid_frame_end_marker,{error.end}}}"
    else:
        return FrameRefused(str(error))
    return FrameRefused(f"type {error.kind}, all octets = {shown(('', octets))}: {problem}")


def misplaced_frame(kind: int, payload: bytes) -> UnexpectedFrame:
    """Return the refusal of a frame on a channel where it can't be."""
    return UnexpectedFrame(f"type {kind}, all octets = {shown(('', payload))}")


def unfit_frame(kind: int, number: int, payload: bytes) -> Refusal:
    """Return the refusal of a frame that is not a method's where one is expected."""
    is_short_header = kind == HEADER and len(payload) < START.size
    is_full_heartbeat = kind == HEARTBEAT and payload
    if kind not in (HEADER, BODY, HEARTBEAT) or is_short_header or is_full_heartbeat:
        return unknown_frame(kind, payload)
    if kind == HEARTBEAT or number == 0:
        return misplaced_frame(kind, payload)
    return UnexpectedFrame("expected method frame, got non method frame instead")


@lru_cache(maxsize=_NAMES_KEPT)
def read_publish(payload: bytes) -> Publish:
    """Decode a ``basic.publish``.

    :raises FrameRefused: for one that is malformed.
    """
    method = read_method(payload)
    return Publish(method.exchange, method.routing_key, method.mandatory, method.immediate)


def read_ack(payload: bytes) -> tuple[int, bool]:
    """Decode delivery tag and multiple of a ``basic.ack``.

    :raises FrameRefused: for one that is malformed.
    """
    if len(payload) != _ACK.size:
        raise FrameRefused(f"cannot decode {shown(('', payload[_INDEX.size :]))}")
    _, delivery_tag, flags = _ACK.unpack(payload)
    return delivery_tag, flags & 1 != 0


def write_method(channel: int, method: Method) -> bytes:
    """Return the frame of a method."""
    try:
        pieces = method.encode()
    except UnicodeEncodeError:  # pika's codec knows no names but UTF-8, and takes bytes
        for name, value in vars(method).items():
            if isinstance(value, str):
                setattr(method, name, raw(value))
        pieces = method.encode()
    return frame(METHOD, channel, _INDEX.pack(method.INDEX) + b"".join(pieces))


def write_ack(channel: int, delivery_tag: int, multiple: bool) -> bytes:
    """Return the frame of a ``basic.ack``."""
    return frame(METHOD, channel, _ACK.pack(ACK, delivery_tag, multiple))


@lru_cache(maxsize=_NAMES_KEPT)
def _short_string(value: str) -> bytes:
    encoded = raw(value)
    return b"%c%b" % (len(encoded), encoded)


@lru_cache(maxsize=_NAMES_KEPT)
def _names(exchange: str, routing_key: str) -> bytes:
    return _short_string(exchange) + _short_string(routing_key)


def write_delivery(
    channel: int,
    consumer_tag: str,
    delivery_tag: int,
    redelivered: bool,
    message: Message,
    frame_max: int,
) -> bytes:
    """Return the frames of a ``basic.deliver``."""
    consumer = _short_string(consumer_tag)
    names = _names(message.exchange, message.routing_key)
    size = len(_DELIVER) + len(consumer) + _DELIVERY.size + len(names)
    return b"".join(
        (
            _HEAD.pack(METHOD, channel, size),
            _DELIVER,
            consumer,
            _DELIVERY.pack(delivery_tag, redelivered),
            names,
            _END,
            write_content(channel, message, frame_max),
        )
    )


def write_content(channel: int, message: Message, frame_max: int) -> bytes:
    """Return the frames of header and body."""
    header, body = message.header, message.body
    room = frame_max - OVERHEAD
    pieces = [_HEAD.pack(HEADER, channel, len(header)), header, _END]
    for start in range(0, len(body), room):
        piece = body[start : start + room]
        pieces += (_HEAD.pack(BODY, channel, len(piece)), piece, _END)
    return b"".join(pieces)
