"""Push: every record from a TCP client goes to its outlet, and is done when that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdemo.bridge.intake import IntakeFactory

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from netdemo.bridge.interfaces import IOutlet
    from netdemo.bridge.routes import PushRoute


class PushFactory(IntakeFactory):
    """Gives the records of all clients of a push route to its outlet."""

    def __init__(self, route: PushRoute, outlet: IOutlet, clock: IReactorTime) -> None:
        super().__init__(route, outlet.window, clock)
        self.answers = route.ack
        self.outlet = outlet

    def take(self, record: bytes) -> Deferred[None]:
        return self.outlet.send(record)

    def finish(self) -> Deferred[None]:
        return self.outlet.finish()

    def withdraw(self) -> None:
        self.outlet.withdraw()
