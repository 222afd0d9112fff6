"""From a broker's URL to an open AMQP connection, or to the reason why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.logger import Logger

from netdemo.amqp.session import Session
from netdemo.connecting import connect, connection_reason
from netdemo.errors import ConnectionClosed, HandshakeTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamClientEndpoint

    from netdemo.amqp.broker_url import BrokerURL
    from netdemo.amqp.interfaces import ISession

    MakeEndpoint = Callable[[BrokerURL, Any], IStreamClientEndpoint]

_log = Logger()


async def open_session(
    broker: BrokerURL, reactor: Any, endpoint: MakeEndpoint, handshake_timeout: float
) -> ISession:
    """Connect to ``broker`` and shake hands; return the session when AMQP is open.

    When it is cancelled nothing of the attempt is left.

    :raises ConnectionClosed: in the broker's words when it refuses.
    :raises Exception: what ``endpoint``, or connecting to what it returns, raises.
    """
    connecting = Deferred.fromCoroutine(_open(broker, reactor, endpoint, handshake_timeout))
    if broker.stack_timeout is not None:
        connecting.addTimeout(broker.stack_timeout, reactor, _too_late)
    return await connecting


async def _open(
    broker: BrokerURL, reactor: Any, endpoint: MakeEndpoint, handshake_timeout: float
) -> ISession:
    timeout = broker.stack_timeout or handshake_timeout
    session = await begin_session(broker, reactor, endpoint, timeout)
    try:
        return await session.opened
    except CancelledError:
        await session.close()
        raise


async def begin_session(
    broker: BrokerURL, reactor: Any, endpoint: MakeEndpoint, handshake_timeout: float
) -> ISession:
    """Connect to ``broker``; return a session that is still to be opened.

    When it is cancelled nothing of the attempt is left.

    :raises Exception: what ``endpoint``, or connecting to what it returns, raises.
    """
    session = Session(broker.parameters, reactor, handshake_timeout)
    await connect(endpoint(broker, reactor), session)
    return session


def _too_late(_: object, timeout: float) -> NoReturn:
    raise HandshakeTimeout(f"AMQP was not open within {timeout:g} s")


def reason_of(error: Exception) -> ConnectionClosed:
    """Return why `open_session` has raised ``error``; what is not the network's fault is logged."""
    if isinstance(error, ConnectionClosed):
        return error
    if not isinstance(error, ConnectError | OSError):
        _log.failure("connecting failed in an unexpected way")
    return ConnectionClosed(connection_reason(error))
