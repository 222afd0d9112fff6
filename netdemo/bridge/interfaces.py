"""What a push route needs of that to which it gives its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from netdemo.amqp.client import AMQPClient
    from netdemo.amqp.window import Window


class IOutlet(Interface):
    """Where the records of a push route go."""

    window: Window = Attribute("What is taken and not done; who sends waits for room in it.")

    def attach(client: AMQPClient) -> None:
        """Publish through ``client`` from now on."""

    def withdraw() -> None:
        """Take nothing more: the route is over."""

    def send(record: bytes) -> Deferred[None]:
        """Take ``record``; fire when it is safe, fail with why it was not taken."""

    def finish() -> Deferred[None]:
        """Fire when every record that was sent is done."""
