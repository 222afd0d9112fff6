"""Connecting to a TCP server, again and again, where a route does not listen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from netdemo.connecting import client_endpoint, connection_reason

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IProtocolFactory
    from twisted.python.failure import Failure

RETRY_POLICY: Final = backoffPolicy(initialDelay=0.5, maxDelay=30.0, factor=2)
"""Seconds from the end of a connection, or of an attempt, to the next attempt."""


@implementer(IStreamClientEndpoint)
class LoggedEndpoint:
    """Connects to the endpoint named ``place``, and logs why it can't be reached.

    While it is `held` an attempt waits until it is cancelled, and nothing is logged.
    """

    held = False
    _log = Logger()

    def __init__(self, place: str, reactor: Any) -> None:
        self._place = place
        self._endpoint = client_endpoint(place, reactor)

    def __str__(self) -> str:  # for the lines that ClientService logs
        return self._place

    def connect(
        self,
        protocolFactory: IProtocolFactory,  # noqa: N803
    ) -> Deferred[IProtocol]:
        if self.held:
            return Deferred()
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting.addErrback(self._refused)

    def _refused(self, failure: Failure) -> Failure:
        assert failure.value is not None
        if not self.held:
            self._log.warn(
                "cannot connect to {place}: {reason}",
                place=self._place,
                reason=connection_reason(failure.value),
            )
        return failure


class DiallingService(ClientService):
    """Keeps one connection to ``place``, and comes back when it ends.

    :raises AddressError: for a malformed place.
    """

    def __init__(self, place: str, factory: IProtocolFactory, reactor: Any) -> None:
        self._dialled = LoggedEndpoint(place, reactor)
        super().__init__(self._dialled, factory, retryPolicy=RETRY_POLICY, clock=reactor)

    def hold(self) -> None:
        """Come back no more until it is started again; the connection that there is goes on."""
        self._dialled.held = True

    def startService(self) -> None:
        self._dialled.held = False
        super().startService()

    def stopService(self) -> Deferred[None]:
        self.hold()
        stopping: Deferred[None] = super().stopService()
        return stopping
