"""From the protocol header to an open connection (AMQP 0-9-1, section 2.2.4)."""

from __future__ import annotations

from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, Any, Final

from pika import spec
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from netdemo.broker.login import mechanisms
from netdemo.broker.wire import raw, write_method
from netdemo.errors import BrokerFault, ChannelMisused, NotAllowed, Refusal

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from netdemo.broker.connection import Connection
    from netdemo.broker.users import User

CHANNEL_MAX: Final = 2047
FRAME_MAX: Final = 131072
"""Bytes of the longest frame."""

FRAME_MIN: Final = 4096
"""Bytes of a frame that every peer takes (section 4.2.3, "frame-min-size")."""

HEARTBEAT: Final = 60
"""Seconds that are proposed."""

CAPABILITIES: Final = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "consumer_priorities": True,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
    "direct_reply_to": True,
}


def server_properties() -> dict[str, Any]:
    """Return what a client is told of the broker."""
    return {
        "capabilities": CAPABILITIES,
        "product": "netdemo",
        "version": version("netdemo"),
        "platform": f"Python {python_version()}",
        "information": "An embedded AMQP 0-9-1 broker",
    }


class Handshake:
    """Lets the peer of ``connection`` in, or refuses it."""

    _log = Logger()

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._expected: type | None = spec.Connection.StartOk
        self._state = "starting"
        self._user: User | None = None
        self._login: Deferred[Any] | None = None

    def begin(self) -> None:
        """Say who we are, and how a peer may say who it is."""
        start = spec.Connection.Start(
            server_properties=server_properties(),
            mechanisms=mechanisms(self._connection.peer),
        )
        self._send(start)

    def take(self, method: Any) -> None:
        """Take the peer's next step.

        :raises Refusal: for one that is not expected, or not allowed.
        """
        if self._expected is None or not isinstance(method, self._expected):
            raise ChannelMisused(f"unexpected method in connection state {self._state}")
        self._expected = None
        if isinstance(method, spec.Connection.StartOk):
            self._log_in(method)
        elif isinstance(method, spec.Connection.TuneOk):
            self._tune(method)
        else:
            self._open(method)

    def end(self) -> None:
        """Give up."""
        if self._login is not None:
            self._login.cancel()

    def _send(self, method: Any) -> None:
        self._connection.write(write_method(0, method))

    def _log_in(self, method: Any) -> None:
        connection = self._connection
        capabilities = (method.client_properties or {}).get("capabilities")
        connection.capabilities = capabilities if isinstance(capabilities, dict) else {}
        login = connection.broker.users.login(
            method.mechanism, raw(method.response), connection.peer
        )
        self._login = login
        login.addCallbacks(self._logged_in, self._refused)

    def _logged_in(self, user: User) -> None:
        self._login = None
        self._user = user
        self._expected, self._state = spec.Connection.TuneOk, "tuning"
        tune = spec.Connection.Tune(CHANNEL_MAX, FRAME_MAX, HEARTBEAT)
        self._connection.broker.turns.run(self._send, tune)

    def _refused(self, failure: Failure) -> None:
        self._login = None
        connection = self._connection
        refusal = failure.value
        if isinstance(refusal, CancelledError):
            return  # the peer is gone
        if not isinstance(refusal, Refusal):
            self._log.failure("a login ended in a mistake", failure)
            refusal = BrokerFault("a mistake of the broker's")
        connection.broker.turns.run(connection.refuse_login, refusal)

    def _tune(self, method: Any) -> None:
        connection = self._connection
        _check("channel_max", method.channel_max, 1, CHANNEL_MAX)
        _check("frame_max", method.frame_max, FRAME_MIN, FRAME_MAX)
        connection.tuned(method.channel_max, method.frame_max, method.heartbeat)
        self._expected, self._state = spec.Connection.Open, "opening"

    def _open(self, method: Any) -> None:
        connection = self._connection
        assert self._user is not None
        access = connection.broker.users.enter(self._user, method.virtual_host)
        self._send(spec.Connection.OpenOk())
        connection.opened(access)


def _check(name: str, value: int, least: int, most: int) -> None:
    """Refuse what a peer makes of what was proposed, 0 standing for no limit."""
    if value == 0:
        raise NotAllowed(
            f"negotiated {name} = 0 (no limit) is higher than the maximum allowed value ({most})"
        )
    if value < least:
        raise NotAllowed(
            f"negotiated {name} = {value} is lower than the minimum allowed value ({least})"
        )
    if value > most:
        raise NotAllowed(
            f"negotiated {name} = {value} is higher than the maximum allowed value ({most})"
        )
