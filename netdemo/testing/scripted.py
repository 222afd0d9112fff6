"""The broker's parts as they are in a test: each does what is on script, where it would anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from netdemo.broker.broker import Broker
from netdemo.broker.handshake import FRAME_MAX
from netdemo.broker.queues import Taken
from netdemo.broker.server import BrokerFactory, BrokerProtocol
from netdemo.broker.vhost import Vhost
from netdemo.broker.wire import ACK
from netdemo.frames import METHOD, OVERHEAD, FrameReader

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from twisted.internet.interfaces import IProtocol, IReactorTime

    from netdemo.broker.exchanges import Exchange
    from netdemo.broker.message import Message
    from netdemo.broker.queues import Queue
    from netdemo.broker.store import Store
    from netdemo.broker.users import Users
    from netdemo.testing.memory_transport import MemoryTransport

NACK: Final = b"\x00\x3c\x00\x78"


class Script:
    """What is to go wrong next; it outlives a restart of the broker."""

    def __init__(self) -> None:
        self.alarm: str | None = None
        """Why publishers are blocked."""
        self.nacks = 0
        """How many publishes are refused."""
        self.drops_before_confirm = False


class FullQueue:
    """A queue that takes nothing."""

    def push(self, _: Message) -> Taken:
        """Refuse a message."""
        return Taken.REFUSED


class ScriptedVhost(Vhost):
    """A virtual host whose queues may refuse a message, as those with ``reject-publish`` do."""

    script: Script

    def route(
        self, exchange: Exchange[Any], message: Message, keys: Sequence[str]
    ) -> Collection[Queue]:
        if self.script.nacks:
            self.script.nacks -= 1
            return (cast("Queue", FullQueue()),)
        return super().route(exchange, message, keys)


class ScriptedBroker(Broker):
    """A broker whose alarms can be set off."""

    def __init__(
        self,
        clock: IReactorTime,
        users: Users,
        store: Store | None,
        max_memory: int,
        script: Script,
    ) -> None:
        self._script = script
        super().__init__(clock, users, store, max_memory)

    @property
    def alarm(self) -> str | None:
        return self._script.alarm or super().alarm

    def vhost(self, name: str) -> Vhost:
        if name not in self.vhosts:
            vhost = ScriptedVhost(name, self.turns, self.memory, self.store)
            vhost.script = self._script
            self.vhosts[name] = vhost
        return self.vhosts[name]


class ScriptedProtocol(BrokerProtocol):
    """A connection that may be lost before a confirm is sent."""

    script: Script

    def write(self, data: bytes) -> None:
        start = first_confirm(data) if self.script.drops_before_confirm else None
        if start is None:
            super().write(data)
            return
        self.script.drops_before_confirm = False
        super().write(data[:start])
        cast("MemoryTransport", self.transport).fail()


class ScriptedFactory(BrokerFactory):
    """Builds them."""

    def __init__(self, broker: Broker, clock: IReactorTime, script: Script) -> None:
        super().__init__(clock)
        self.broker = broker
        self._script = script

    def new_protocol(self) -> IProtocol:
        protocol = ScriptedProtocol(self.broker, self._clock)
        protocol.script = self._script
        return protocol


def first_confirm(data: bytes) -> int | None:
    """Return where in whole frames the first ack or nack starts, ``None`` if there is none."""
    start = 0
    for kind, _, payload in FrameReader().frames(data, FRAME_MAX):
        if kind == METHOD and payload.startswith((ACK, NACK)):
            return start
        start += len(payload) + OVERHEAD
    return None
