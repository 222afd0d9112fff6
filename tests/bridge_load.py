"""What goes through a bridge that breaks: numbered records, who sends and who takes them."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import ReconnectingClientFactory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from netdemo.amqp import Delivery

TEXTS = ("/var/log/dpkg.log", "/usr/share/common-licenses/GPL-3")
UNDER_WAY = 2000
"""Records without an answer at once."""

AHEAD = 0.05
"""Part of the records that may have gone in and not come out: a spool takes them much faster."""


class Text:
    """Numbered records of a real text."""

    def __init__(self) -> None:
        paths = [Path(each) for each in TEXTS if Path(each).exists()]
        whole = b"\n".join(path.read_bytes() for path in paths or [Path(__file__)])
        self._lines = [line.strip() for line in whole.splitlines() if line.strip()]

    def record(self, number: int) -> bytes:
        """Return the record with a number."""
        return b"%d %s" % (number, self._lines[number % len(self._lines)])


class Peer(LineOnlyReceiver):
    """A client of the bridge; `owner` is told of its lines, its beginning and its end."""

    delimiter = b"\n"
    transport: Any

    def __init__(self, owner: Sender | Puller) -> None:
        self._owner = owner

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._owner.connected(self.transport)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._owner.read()

    def lineReceived(self, line: bytes) -> None:
        self._owner.line(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._owner.lost()


class Peers(ReconnectingClientFactory):
    """Connects for its owner again and again."""

    noisy = False
    initialDelay = 1
    maxDelay = 1

    def __init__(self, owner: Sender | Puller) -> None:
        self._owner = owner

    def buildProtocol(self, addr: Any) -> Peer:  # noqa: ARG002
        self.resetDelay()
        return Peer(self._owner)


class Sender:
    """Sends `count` records, each again until it is answered with OK."""

    def __init__(self, text: Text, count: int, progress: Callable[[], None]) -> None:
        self.count = count
        self.limit = self._ahead = max(UNDER_WAY, int(count * AHEAD))
        self.acknowledged = 0
        self.sent_again: Counter[int] = Counter()
        self.errors: Counter[bytes] = Counter()
        self._text = text
        self._progress = progress
        self._next = 0
        self._again: deque[int] = deque()
        self._unanswered: deque[int] = deque()
        self._transport: Any = None

    def connected(self, transport: Any) -> None:
        """Begin to send."""
        self._transport = transport
        self.send()

    def line(self, line: bytes) -> None:
        """Take the answer to the first record without one."""
        number = self._unanswered.popleft()
        if line == b"OK":
            self.acknowledged += 1
        else:
            self.errors[b" ".join(line.split()[:2])] += 1
            self._again.append(number)

    def read(self) -> None:
        """Send what there is room for."""
        self._progress()
        self.send()

    def lost(self) -> None:
        """Have what was not answered sent again."""
        self._transport = None
        self._again.extend(self._unanswered)
        self._unanswered.clear()

    def follow(self, count: int) -> None:
        """Send more, as so many have come out."""
        self.limit = count + self._ahead
        self.send()

    def send(self) -> None:
        """Send what there is room for, up to the limit."""
        if self._transport is None:
            return
        numbers: list[int] = []
        room = UNDER_WAY - len(self._unanswered)
        while self._again and len(numbers) < room:
            numbers.append(self._again.popleft())
        self.sent_again.update(numbers)
        fresh = max(0, min(room - len(numbers), min(self.count, self.limit) - self._next))
        numbers.extend(range(self._next, self._next + fresh))
        self._next += fresh
        self._unanswered.extend(numbers)
        self._transport.write(b"".join(b"%s\n" % self._text.record(each) for each in numbers))


class Puller:
    """Takes records and acknowledges them."""

    def __init__(self, text: Text, count: int, progress: Callable[[], None]) -> None:
        self.seen = bytearray(count)
        self.different = 0
        self.repeats = 0
        self.strange: list[bytes] = []
        self._text = text
        self._progress = progress
        self._transport: Any = None
        self._lines = 0

    def connected(self, transport: Any) -> None:
        """Take records from here."""
        self._transport = transport
        self._lines = 0

    def line(self, line: bytes) -> None:
        """Take a record."""
        self._lines += 1
        number = int(line.partition(b" ")[0])
        if line != self._text.record(number):
            self.strange.append(line)
        elif self.seen[number]:
            self.repeats += 1
        else:
            self.seen[number] = 1
            self.different += 1

    def read(self) -> None:
        """Acknowledge what came."""
        lines, self._lines = self._lines, 0
        self._transport.write(b"ACK\n" * lines)
        self._progress()

    def lost(self) -> None:
        """Wait for another connection."""


class Copies:
    """The different `message_id` that each record has in a queue beside that of the pull route."""

    def __init__(self, count: int, progress: Callable[[], None]) -> None:
        self.different = 0
        self.repeats = 0
        self._first: list[int | None] = [None] * count
        self._others: dict[int, set[int]] = {}
        self._progress = progress

    def see(self, delivery: Delivery) -> None:
        """Handle a delivery."""
        number = int(delivery.message.body.partition(b" ")[0])
        message_id = hash(delivery.message.message_id)
        if self._first[number] is None:
            self._first[number] = message_id
            self.different += 1
            self._progress()
        elif message_id == self._first[number] or message_id in self._others.get(number, ()):
            self.repeats += 1
        else:
            self._others.setdefault(number, set()).add(message_id)

    def more_than(self, sent_again: Counter[int]) -> list[int]:
        """Return the records with more identifiers than they were sent again."""
        return [n for n, others in self._others.items() if len(others) > sent_again[n]]

    @property
    def sent_twice(self) -> int:
        """How many came with a second identifier: their sender has sent them again."""
        return sum(map(len, self._others.values()))
