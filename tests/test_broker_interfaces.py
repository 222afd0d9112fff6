"""What parts of the broker know of each other: each has all that the others ask of it."""

from __future__ import annotations

import inspect
from typing import Any

from pika import spec

from netdemo.broker.backlog import Fetch
from netdemo.broker.connection import Outlet
from netdemo.broker.consumers import Receiver, Source
from netdemo.broker.queues import Home
from netdemo.broker.replies import Asker, NoQueue
from netdemo.broker.server import BrokerProtocol
from netdemo.broker.turns import Dispatches, Flushes
from tests.broker_peer import BrokerPeerTestCase


def missing(protocol: type, provider: Any) -> list[str]:
    """Return the members of a protocol that `provider` has not, or calls otherwise."""
    found = [name for name in protocol.__annotations__ if not hasattr(provider, name)]
    for name, method in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_") and name != "__call__":
            continue
        provided = provider if name == "__call__" else getattr(provider, name, None)
        asked = len(inspect.signature(method).parameters) - 1
        if provided is None or not _takes(provided, asked):
            found.append(name)
    return found


def _takes(call: Any, count: int) -> bool:
    try:
        inspect.signature(call).bind(*range(count))
    except TypeError:
        return False
    return True


class InterfacesTests(BrokerPeerTestCase):
    """The protocols of `typing` that the broker's parts are written against."""

    def test_what_is_missing_is_found(self) -> None:
        self.assertEqual(["name", "wake"], missing(Source, Incomplete()))
        self.assertEqual(["dispatch"], missing(Dispatches, Incomplete()))

    def test_each_part_has_what_the_others_ask_of_it(self) -> None:
        peer = self.connect()
        peer.call(spec.Queue.Declare(queue="q"))
        queue = self.vhost.queue("q")
        connection = peer.connection
        channel = connection._channels[1]
        for protocol, provider in (
            (Outlet, peer),
            (Outlet, BrokerProtocol(self.broker, self.clock)),
            (Home, self.vhost),
            (Source, queue),
            (Source, NoQueue()),
            (Receiver, channel),
            (Asker, channel._delivering),
            (Dispatches, queue),
            (Flushes, channel),
            (Flushes, connection),
            (Fetch, queue._fetch),
        ):
            self.assertEqual([], missing(protocol, provider), (protocol, provider))


class Incomplete:
    """Has some of what is asked, and asks for more itself."""

    def done(self, entry: Any) -> None:
        """Do nothing."""

    reject = requeue = remove_consumer = done

    def wake(self) -> None:
        """Do nothing."""
