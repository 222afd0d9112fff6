"""The broker that ``twistd amqp-bridge`` brings along when none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.internet.defer import maybeDeferred

from netdemo.errors import StartupError

if TYPE_CHECKING:
    from twisted.application.service import IService
    from twisted.internet.defer import Deferred


class EmbeddedBroker(MultiService):
    """Runs ``broker``, which ``others`` need, from before they start until they have stopped.

    Starting raises `StartupError`, which says what to type, when the broker can't listen.
    """

    def __init__(self, broker: IService, others: IService) -> None:
        super().__init__()
        self._broker = broker
        self._others = others
        broker.setServiceParent(self)
        others.setServiceParent(self)

    def privilegedStartService(self) -> None:
        try:
            self._broker.privilegedStartService()
        except StartupError as error:
            raise StartupError(
                f"no broker is named, and its own {error}; "
                "to use the one that is there: --broker amqp://127.0.0.1/"
            ) from None
        self._others.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        self.running = 0
        return maybeDeferred(self._others.stopService).addBoth(self._stop_broker)

    def _stop_broker(self, result: object) -> Deferred[object]:
        return maybeDeferred(self._broker.stopService).addCallback(lambda _: result)
