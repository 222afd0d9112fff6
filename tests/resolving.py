"""A reactor in memory that finds hosts, which that of Twisted 24.10 does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
)
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IResolutionReceiver


@implementer(IHostResolution)
class Resolution:
    """A host that is found."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing: it is over."""


@implementer(IHostnameResolver)
class Resolver:
    """Finds every host at once, on this machine, and keeps the `names` that it was asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        *_: Any,
    ) -> IHostResolution:
        self.names.append(hostName)
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        resolutionReceiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


@implementer(IReactorPluggableNameResolver)
class ResolvingReactor(MemoryReactorClock):
    """It, with a `Resolver` until another is installed."""

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver: IHostnameResolver = Resolver()

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        old, self.nameResolver = self.nameResolver, resolver
        return old
