"""`MemoryBroker`: the embedded broker without sockets and real time, and its faults on script."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twisted.internet.defer import execute, maybeDeferred

from netdemo.amqp.client import AMQPClient
from netdemo.broker.broker import LOW_MEMORY
from netdemo.broker.connection import SHUTDOWN
from netdemo.broker.database import Database, memory_database
from netdemo.broker.memory import MAX_MEMORY
from netdemo.broker.schema import read
from netdemo.broker.store import Store
from netdemo.broker.users import DEFAULT_VHOST, Users, guest_only
from netdemo.errors import AMQPError, Refusal
from netdemo.testing.memory_network import MemoryEndpoint, MemoryNetwork
from netdemo.testing.scripted import Script, ScriptedBroker, ScriptedFactory

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamClientEndpoint
    from twisted.internet.task import Clock

    from netdemo.broker.connection import Connection


class MemoryBroker:
    """A broker for tests.

    Clients reach it through `endpoint`, ours by `client`, and whatever they and it do happens in
    `advance`, always in the same order; they learn of faults there, too.

    Brokers that one client knows are in one `network`, each under the name of a `host` of its own.
    Who may log in is in ``users``, which try passwords with ``maybeDeferred``, or is guest.
    ``max_memory`` is in bytes of messages, above which publishers are blocked.
    """

    def __init__(
        self,
        network: MemoryNetwork | None = None,
        host: str = "memory",
        *,
        users: Users | None = None,
        max_memory: int = MAX_MEMORY,
    ) -> None:
        self.network = MemoryNetwork() if network is None else network
        self.host = host
        self._users = guest_only() if users is None else users
        self._max_memory = max_memory
        self._script = Script()
        self._port = self.network.listen(host)
        self._database = memory_database()
        weakref.finalize(self, self._database.close)
        self._broker: ScriptedBroker | None = None
        self.start()

    @property
    def clock(self) -> Clock:
        """The clock of the broker, and of whoever uses it."""
        return self.network.clock

    @property
    def broker(self) -> ScriptedBroker:
        """The broker itself.

        :raises ValueError: while it is stopped.
        """
        if self._broker is None:
            raise ValueError(f"the broker {self.host} is stopped")
        return self._broker

    def url(self, user: str = "guest", password: str = "guest", vhost: str = DEFAULT_VHOST) -> str:
        """Return the broker's URL, for a client with ``endpoint=network.endpoint``."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"amqp://{login}@{self.host}/{quote(vhost, safe='')}"

    def client(self, *others: MemoryBroker, **options: Any) -> AMQPClient:
        """Return an `AMQPClient` for this broker and ``others``, with these options of it.

        It connects when it is started.
        """
        urls = [each.url() for each in (self, *others)]
        return AMQPClient(urls, self.clock, endpoint=self.network.endpoint, **options)

    def endpoint(self) -> IStreamClientEndpoint:
        """Return the way to the broker, for any protocol."""
        return MemoryEndpoint(self._port, self.host)

    def advance(self, seconds: float = 0) -> None:
        """Let time pass, and whatever happens in it, until at its end nothing moves any more.

        :raises NeverIdle: when it does not come to that.
        """
        self.network.advance(seconds)

    def start(self) -> None:
        """Start the broker, with what is durable of what it had."""
        if self._broker is None:
            store = Store(_Kept.of(self._database), execute, self.clock)
            self._broker = ScriptedBroker(
                self.clock, self._users, store, self._max_memory, self._script
            )
            self.accept_connections()

    def stop(self) -> None:
        """End the broker, as if it were killed: connections are lost, and refused from now on."""
        broker, self._broker = self._broker, None
        self.refuse_connections()
        for connection in self._port.connections:
            connection.kill_server()
        if broker is not None:
            broker.stop()  # whose store, without a thread, is closed at once

    def restart(self) -> None:
        """Stop and start the broker."""
        self.stop()
        self.start()

    def drop(self) -> None:
        """Lose all connections; what is on its way is lost too."""
        self._port.cut()

    def drop_before_next_confirm(self) -> None:
        """Lose the connection on which the next publish is to be confirmed, in place of that."""
        self._script.drops_before_confirm = True

    def stall(self) -> None:
        """Let nothing through to the broker or from it, until `resume` is called."""
        self._port.stalled = True

    def resume(self) -> None:
        """Let everything through again, first of all what has waited."""
        self._port.stalled = False

    def block(self, reason: str = LOW_MEMORY) -> None:
        """Block those who publish, as an alarm does, until `unblock` is called."""
        self._script.alarm = reason
        self.broker.turns.run(self.broker.check_alarms)

    def unblock(self) -> None:
        """End the alarm."""
        self._script.alarm = None
        self.broker.turns.run(self.broker.check_alarms)

    def nack_next_publish(self) -> None:
        """Refuse the next message that is published, as a full queue does; it is in no queue."""
        self._script.nacks += 1

    def cancel_consumers(self, queue: str, vhost: str = DEFAULT_VHOST) -> None:
        """Cancel the consumers of a queue, as when it moves to another node of a cluster.

        :raises NotFound: when there is no such queue.
        """
        self.broker.turns.run(self.broker.vhost(vhost).queue(queue).cancel_consumers)

    def close_channels(self, reply_code: int, reply_text: str) -> None:
        """Close all channels for a reason, such as 406, ``PRECONDITION_FAILED - timed out``."""
        refusal = _Scripted(reply_code, reply_text)
        for connection in self._connections():
            self.broker.turns.run(connection.close_channels, refusal)

    def close_connections(self, reason: str = SHUTDOWN) -> None:
        """Close all connections with ``CONNECTION_FORCED``, as before a planned restart."""
        for connection in self._connections():
            self.broker.turns.run(connection.close, reason)

    def refuse_connections(self) -> None:
        """Refuse new connections, until `accept_connections` is called."""
        self._port.factory = None

    def accept_connections(self) -> None:
        """Let new connections be made again."""
        self._port.factory = ScriptedFactory(self.broker, self.clock, self._script)

    def refuse_logins(self) -> None:
        """Refuse whoever logs in, until `accept_logins` is called."""
        self.broker.users = Users((), maybeDeferred)

    def accept_logins(self) -> None:
        """Let users log in again."""
        self.broker.users = self._users

    def _connections(self) -> list[Connection]:
        return list(self.broker.connections)


class _Kept(Database):
    """A database in memory that is still there when the store that it is opened for is closed."""

    @classmethod
    def of(cls, database: Database) -> _Kept:
        """Return it with what is in it now."""
        stored = read(database.reader)
        return cls(database.name, database.writer, database.reader, stored)

    def close(self) -> None:
        """Do nothing."""


class _Scripted(Refusal):
    def __init__(self, reply_code: int, reply_text: str) -> None:
        AMQPError.__init__(self, reply_text, reply_code)
