"""What a hostile or broken client may send: AMQP of all kinds, and what was made of it.

Everything is drawn from one generator of random numbers, so a seed tells what it was.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from pika import spec
from pika.data import encode_value

from netdemo.broker.wire import write_method
from netdemo.frames import BODY, HEADER, METHOD, frame
from tests.broker_peer import GREETING, content_header

if TYPE_CHECKING:
    from random import Random

CHANNELS: Final = (1, 1, 1, 2, 3)
NUMBERS: Final = (0, 0, 1, 1, 2, 3, 255, 256, 32767, 65535, 1 << 31, (1 << 32) - 1, 1 << 63)
SIZES: Final = (0, 0, 1, 5, 100, 5000, 1 << 27, (1 << 27) + 1, 1 << 32, 1 << 63, (1 << 64) - 1)
QUEUES: Final = ("q1", "q1", "q2", "q2", "q3", "q4", "d1", "d2", "d3", "p1")
LIVELY: Final[dict[str, dict[str, Any]]] = {
    "q4": {},
    "d1": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "d2", "x-message-ttl": 100},
    "d2": {"x-dead-letter-exchange": "amq.fanout", "x-max-length": 1},
    "d3": {"x-dead-letter-exchange": "", "x-max-length": 1, "x-overflow": "reject-publish-dlx"},
    "p1": {"x-max-priority": 9, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "p1"},
}
"""Queues in which much happens, and what they are declared with."""

EXCHANGES: Final = ("x1", "x2", "x3", "amq.topic", "amq.headers", "amq.direct", "amq.fanout")
NAMES: Final = (
    *("", "", "amq.x", "amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.x", "a" * 255),
    *("\udcff\udcfe", "a.b", "#", "*.b", "\0", "\r\n", "t1", "t1", "t2", "{}", "%s"),
)
ARGUMENTS: Final = (
    *("x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-overflow"),
    *("x-dead-letter-exchange", "x-dead-letter-routing-key", "x-max-priority", "x-match"),
    *("x-single-active-consumer", "x-priority", "x-queue-type", "alternate-exchange", "x-death"),
    *("CC", "BCC", "x-delivery-limit", "x-queue-mode", "a", "b", "capabilities"),
)
TEXTS: Final = (
    *(b"", b"any", b"all", b"drop-head", b"reject-publish", b"reject-publish-dlx", b"classic"),
    *(b"quorum", b"stream", b"x1", b"x2", b"amq.fanout", b"q1", b"q2", b"\xff\xfe", b"a" * 300),
)
SENSIBLE: Final[dict[str, tuple[Any, ...]]] = {
    "x-message-ttl": (0, 1, 500, 5000),
    "x-expires": (1, 1000, 100_000),
    "x-max-length": (0, 1, 3),
    "x-max-length-bytes": (0, 10, 1000),
    "x-overflow": ("drop-head", "reject-publish", "reject-publish-dlx"),
    "x-dead-letter-exchange": ("", "x1", "x2", "amq.fanout", "amq.topic", "nobody"),
    "x-max-priority": (0, 1, 9, 255),
    "x-match": ("any", "all", "any-with-x", "all-with-x"),
    "x-single-active-consumer": (True, False),
    "x-priority": (-1, 0, 1),
    "x-queue-type": ("classic",),
    "alternate-exchange": ("x1", "x2", "amq.fanout", "nobody"),
    "CC": (["q1", "q2"], []),
    "BCC": (["q1"], ["a.b"]),
    "a": (1, "1", True),
    "b": (1, "any", None),
}
"""What these may be."""

FIXED: Final = {b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4} | {
    **{b"l": 8, b"L": 8, b"T": 8, b"f": 4, b"d": 8, b"D": 5, b"V": 0},
}
"""Bytes of the values of each type of fixed size."""

SHORT_STRINGS: Final = (15, 14, 10, 9, 8, 7, 5, 4, 3, 2)
METHODS: Final = sorted(spec.methods)
USEFUL: Final = (
    *(spec.Queue.Declare, spec.Queue.Declare, spec.Queue.Bind, spec.Exchange.Declare),
    *(spec.Exchange.Bind, spec.Basic.Consume, spec.Basic.Consume, spec.Basic.Get, spec.Basic.Ack),
    *(spec.Basic.Nack, spec.Basic.Reject, spec.Confirm.Select, spec.Tx.Select, spec.Tx.Commit),
    *(spec.Tx.Rollback, spec.Basic.Recover, spec.Queue.Purge, spec.Queue.Delete),
    *(spec.Exchange.Delete, spec.Basic.Cancel, spec.Basic.Qos, spec.Channel.Open),
    *(spec.Channel.Close, spec.Channel.CloseOk, spec.Queue.Unbind, spec.Exchange.Unbind),
)
LIKELY: Final = ("mandatory", "multiple", "requeue", "durable", "auto_delete", "no_ack", "nowait")
"""Flags that are often set."""

WITH_ARGUMENTS: Final = (
    *(spec.Queue.Declare, spec.Queue.Bind, spec.Queue.Unbind, spec.Exchange.Declare),
    *(spec.Exchange.Bind, spec.Exchange.Unbind, spec.Basic.Consume),
)
"""Methods that end with a table."""


class Nonsense:
    """Streams of bytes, each what one connection sends."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._choice = random.choice
        self._wild = 0.1
        """How often something is not as it should be."""

    def stream(self) -> tuple[list[bytes], int]:
        """Return the pieces in which a stream comes, and how many frames they were made from."""
        random = self._random
        self._wild = self._choice((0.0, 0.02, 0.1, 0.5))
        open_channels = [write_method(each, spec.Channel.Open()) for each in (1, 2, 3)]
        frames = [GREETING, *open_channels]
        if random.random() < 0.1:
            frames = self._odd_greeting()
        for _ in range(random.randrange(1, 16)):
            frames += self._step()
        count = len(frames)
        if random.random() < 4 * self._wild:
            self._disorder(frames)
        data = b"".join(frames)
        if random.random() < 4 * self._wild:
            data = self._damaged(data, 0 if random.random() < 0.1 else len(GREETING))
        return self._split(data), count

    def table(self, depth: int = 0) -> bytes:
        """Return a table, with its length, that is well-formed or nearly."""
        entries = [self._entry(depth) for _ in range(self._random.randrange(4))]
        return self._long(b"".join(entries))

    def _entry(self, depth: int) -> bytes:
        name = self._choice(ARGUMENTS)
        if name in SENSIBLE and self._random.random() >= self._wild:
            value = self._choice(SENSIBLE[name])
            pieces: list[bytes] = []
            encode_value(pieces, value)
            return self._short(name.encode()) + b"".join(pieces)
        if name == "x-death" and depth < 5:
            death = b"F" + self.table(depth + 1)
            return self._short(b"x-death") + b"A" + self._long(death * self._choice((1, 2)))
        return self._short(name.encode()) + self.value(depth)

    def value(self, depth: int = 0) -> bytes:
        """Return a value with its type."""
        random = self._random
        kind = self._choice(b"tbBsuIilLTfdDVSSSSSIIIIxFA?")
        code = bytes((kind,))
        if code in FIXED:
            size = FIXED[code]
            small = random.randrange(1200).to_bytes(8)[8 - min(size, 8) :]
            return code + (small if random.random() < 0.8 else random.randbytes(size))
        if code in (b"S", b"x"):
            return code + self._long(self._choice(TEXTS))
        if code == b"F" and depth < 5:
            return code + self.table(depth + 1)
        if code == b"A" and depth < 5:
            return code + self._long(b"".join(self.value(depth + 1) for _ in range(2)))
        return code

    def method(self, kind: Any) -> bytes:
        """Return the payload of a method with arguments of any value."""
        method = kind("", "") if kind is spec.Connection.UpdateSecret else kind()
        for name, value in vars(method).items():
            setattr(method, name, self._argument(name, value))
        try:
            encoded = b"".join(method.encode())
        except (AssertionError, struct.error, TypeError, AttributeError, UnicodeError):
            encoded = self._random.randbytes(self._random.randrange(20))
        if kind in WITH_ARGUMENTS and self._random.random() < 0.5 and encoded.endswith(bytes(4)):
            encoded = encoded[:-4] + self.table()
        return int(kind.INDEX).to_bytes(4) + encoded

    def _argument(self, name: str, value: Any) -> Any:
        if isinstance(value, bool):
            likely = 0.25 if name in LIKELY else self._wild / 8
            return self._random.random() < likely
        if name in ("arguments", "client_properties", "server_properties"):
            return {}
        if isinstance(value, int) or name in ("delivery_tag", "reply_code", "message_count"):
            if name == "prefetch_size" and self._random.random() >= self._wild:
                return 0
            return self._choice(
                NUMBERS[: len(NUMBERS) if self._random.random() < self._wild else 6]
            )
        if self._random.random() < self._wild / 2:
            return self._choice(NAMES)
        if name in ("exchange", "source", "destination"):
            return self._choice((*EXCHANGES, ""))
        if name == "type":
            return self._choice(("direct", "fanout", "topic", "headers"))
        if name == "queue" and self._random.random() < 0.02:
            return "amq.rabbitmq.reply-to"
        if name == "consumer_tag":
            return self._choice(("", "t1", "t2", "t3"))
        return self._choice((*QUEUES, "a.b")) if value is None or value == "" else value

    def _odd_greeting(self) -> list[bytes]:
        random = self._random
        handshake = (spec.Connection.StartOk, spec.Connection.TuneOk, spec.Connection.Open)
        steps = [frame(METHOD, 0, self.method(each)) for each in handshake]
        start = self._choice((b"AMQP\0\0\x09\1", b"AMQP\1\1\0\x09", b"AMQP\3\1\0\0", b"GET / H"))
        return [start, *steps[: random.randrange(4)]]

    def _step(self) -> list[bytes]:
        """Return frames that belong together."""
        random = self._random
        channel = self._choice(CHANNELS)
        chance = random.random()
        if chance < 0.45:
            return [frame(METHOD, channel, self.method(self._choice(USEFUL)))]
        if chance < 0.75:
            return self._content(channel)
        if chance < 0.75 + self._wild / 5:
            payload = self.method(spec.methods[self._choice(METHODS)])
            number = channel if random.random() < 0.8 else self._choice((0, 4, 2048, 65535))
            return [frame(METHOD, number, payload)]
        if random.random() >= self._wild:
            return self._life(channel)
        kind = random.randrange(12)
        return [frame(kind, self._choice((0, channel)), random.randbytes(random.randrange(30)))]

    def _life(self, channel: int) -> list[bytes]:
        """Return what makes a queue, fills it and takes from it."""
        queue, arguments = self._choice(tuple(LIVELY.items()))
        end = spec.Basic.Ack(self._random.randrange(5), multiple=self._random.random() < 0.5)
        methods = (
            spec.Queue.Declare(queue=queue, durable=True, arguments=arguments),
            *self._choice(((), (spec.Tx.Select(),), (spec.Confirm.Select(),))),
            spec.Basic.Publish(0, "", queue),
        )
        after = self._choice(
            (
                (spec.Basic.Get(0, queue), spec.Basic.Reject(1, requeue=False)),
                (spec.Basic.Consume(0, queue), end),
                (spec.Basic.Consume(0, queue), spec.Basic.Nack(0, True, False)),
                (spec.Basic.Consume(0, "amq.rabbitmq.reply-to", no_ack=True),),
                (spec.Queue.Purge(0, queue), spec.Tx.Commit()),
                (spec.Queue.Delete(0, queue), spec.Basic.Recover(requeue=True)),
            )
        )
        contents = self._content(channel)[1:]
        for _ in range(self._random.randrange(4)):
            contents += self._content(channel)
        return [
            *(write_method(channel, each) for each in methods),
            *contents,
            *(write_method(channel, each) for each in after),
        ]

    def _content(self, channel: int) -> list[bytes]:
        random = self._random
        body = random.randbytes(self._choice((0, 1, 10, 10, 10, 1000, 9000)))
        size = self._choice(SIZES) if random.random() < self._wild else len(body)
        frames = [
            frame(METHOD, channel, self.method(spec.Basic.Publish)),
            frame(HEADER, channel, self._header(size)),
        ]
        step = self._choice((len(body) or 1, 4000))
        frames += [frame(BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
        if random.random() < 0.05:
            frames.insert(2, frame(BODY, channel, b""))
        if random.random() < self._wild / 2:
            del frames[random.randrange(len(frames)) :]
        return frames

    def _header(self, size: int) -> bytes:
        random = self._random
        flags, values = 0, b""
        for bit in range(15, 1, -1):
            if random.random() < 0.75:
                continue
            flags |= 1 << bit
            if bit == 13:
                values += self.table()
            elif bit == 6:
                values += random.randbytes(8)
            elif bit in SHORT_STRINGS:
                values += self._short(self._property(bit))
            else:
                values += bytes((self._choice((1, 2, 2) if bit == 12 else (0, 1, 9, 255)),))
        if random.random() < self._wild / 5:
            flags |= random.randrange(4)
        class_id = random.randrange(100) if random.random() < self._wild / 5 else 60
        return content_header(size, flags, values, class_id)

    def _property(self, bit: int) -> bytes:
        if self._random.random() >= self._wild:
            return self._choice({8: (b"0", b"1", b"900"), 4: (b"guest",)}.get(bit, (b"", b"q1")))
        if bit == 8:
            return self._choice((b"0", b"1", b"60000", b"1000", b"-1", b"abc", b"", b"9" * 200))
        if bit == 4:
            return self._choice((b"guest", b"root", b"\xff"))
        return self._choice((b"amq.rabbitmq.reply-to", b"", b"\xff\xfe", b"q1", b"a" * 255))

    def _disorder(self, frames: list[bytes]) -> None:
        """Leave frames out, repeat them or change their places; the first stays."""
        random = self._random
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(1, len(frames)) if len(frames) > 1 else 0
            other = random.randrange(1, len(frames)) if len(frames) > 1 else 0
            chance = random.random()
            if chance < 0.3 and len(frames) > 2:
                del frames[at]
            elif chance < 0.6:
                frames.insert(at, frames[other])
            else:
                frames[at], frames[other] = frames[other], frames[at]

    def _damaged(self, data: bytes, start: int) -> bytes:
        """Change some bytes behind `start`, put some in, or leave some out."""
        random = self._random
        damaged = bytearray(data)
        for _ in range(self._choice((1, 1, 1, 2, 5))):
            if len(damaged) <= start:
                break
            at = random.randrange(start, len(damaged))
            chance = random.random()
            if chance < 0.3:
                damaged[at] = random.randrange(256)
            elif chance < 0.5:
                damaged[at] ^= 1 << random.randrange(8)
            elif chance < 0.65:
                del damaged[at : at + random.randrange(1, 20)]
            elif chance < 0.8:
                damaged[at:at] = random.randbytes(random.randrange(1, 20))
            elif chance < 0.9:
                damaged[at : at + 4] = self._choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff"))
            else:
                del damaged[at:]
        return bytes(damaged)

    def _split(self, data: bytes) -> list[bytes]:
        random = self._random
        if random.random() < 0.5:
            return [data]
        cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(1, 8)))
        return [data[low:high] for low, high in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _short(self, text: bytes) -> bytes:
        return bytes((len(text),)) + text

    def _long(self, data: bytes) -> bytes:
        size = len(data)
        if self._random.random() < self._wild / 5:
            size = self._choice((0, size + 1, max(0, size - 1), (1 << 32) - 1))
        return size.to_bytes(4) + data
