"""The eager reactor: it behaves as the stock one does, or gives way to it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

from twisted.application.reactors import getReactorTypes
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.tcp import Server
from twisted.trial.unittest import SynchronousTestCase

from netdemo import reactor
from netdemo.reactor import EagerReactor, EagerServer, EagerUNIXClient, EagerUNIXServer
from tests import reactor_behaviours as behaviours


class StockWritingTests(behaviours.WritingBehaviours):
    reactor_class = EPollReactor


class EagerWritingTests(behaviours.WritingBehaviours):
    reactor_class = EagerReactor


class StockProducerTests(behaviours.ProducerBehaviours):
    reactor_class = EPollReactor


class EagerProducerTests(behaviours.ProducerBehaviours):
    reactor_class = EagerReactor


class StockFairnessTests(behaviours.FairnessBehaviours):
    reactor_class = EPollReactor


class EagerFairnessTests(behaviours.FairnessBehaviours):
    reactor_class = EagerReactor


class StockNestingTests(behaviours.NestingBehaviours):
    reactor_class = EPollReactor


class EagerNestingTests(behaviours.NestingBehaviours):
    reactor_class = EagerReactor


class StockLogTests(behaviours.LogBehaviours):
    reactor_class = EPollReactor


class EagerLogTests(behaviours.LogBehaviours):
    reactor_class = EagerReactor


class Poller:
    """In the place of epoll: keeps how long each poll would have waited, and waits for nothing."""

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self.timeouts: list[float] = []
        self.changes = 0

    def poll(self, timeout: float, maximum: int) -> Any:
        self.timeouts.append(timeout)
        return self._poller.poll(0, maximum)

    def modify(self, *arguments: int) -> None:
        self.changes += 1
        self._poller.modify(*arguments)

    def register(self, *arguments: int) -> None:
        self.changes += 1
        self._poller.register(*arguments)

    def unregister(self, fd: int) -> None:
        self.changes += 1
        self._poller.unregister(fd)

    def close(self) -> None:
        self._poller.close()


class EagerTests(behaviours.ReactorTestCase):
    """What the eager reactor spares, and that it does not wait for what has been done."""

    reactor_class = EagerReactor

    def watched(self) -> Poller:
        """Have the reactor poll with a `Poller`."""
        self.reactor._poller = poller = Poller(self.reactor._poller)
        return poller

    def test_its_connections_are_eager(self) -> None:
        protocol, _ = self.connected()
        self.assertIsInstance(protocol.transport, EagerServer)
        made = {type(each.transport) for each in self.pair()}
        self.assertEqual(made, {EagerUNIXServer, EagerUNIXClient})

    def test_an_answer_changes_nothing_in_the_kernels_set(self) -> None:
        protocol, peer = self.connected()
        protocol.on_data = protocol.write
        poller = self.watched()
        for _ in range(3):
            peer.send(b"ping")
            self.assertEqual(self.read(peer, 4), b"ping")
        self.assertEqual(poller.changes, 0)

    def test_a_write_and_its_close_change_only_who_is_read(self) -> None:
        protocol, peer = self.connected()
        poller = self.watched()
        protocol.write(b"all")
        protocol.transport.loseConnection()
        self.assertEqual(self.read(peer, 4), b"all")
        self.assertEqual(poller.changes, 1)

    def test_what_a_socket_does_not_take_waits_for_epoll(self) -> None:
        protocol, _ = self.connected()
        protocol.write(bytes(behaviours.LARGE))
        self.turn(100)
        poller = self.watched()
        self.turn(3)
        self.assertFalse(self.reactor.unsent)
        self.assertEqual(poller.changes, 0)
        self.assertIn(protocol.transport.fileno(), self.reactor._writes)

    def test_one_of_whom_epoll_tells_is_left_to_epoll(self) -> None:
        protocol, _ = self.connected()
        resumed: list[int] = []

        class Never(behaviours.Puller):
            def resumeProducing(self) -> None:
                resumed.append(1)
                self.transport.startWriting()

        protocol.transport.registerProducer(Never(protocol.transport, 0), False)
        self.turn(3)
        resumed.clear()
        self.turn(10)
        self.assertEqual(len(resumed), 10)

    def test_the_poll_does_not_wait_for_one_who_was_called_before_it(self) -> None:
        protocol, _ = self.connected()
        called: list[int] = []
        protocol.connectionLost = (
            lambda reason=None: self.reactor.callLater(0, called.append, 1)  # noqa: ARG005
        )
        protocol.transport.loseConnection()
        poller = self.watched()
        self.reactor.iterate(60)
        self.assertEqual(poller.timeouts, [0])
        self.reactor.iterate(60)
        self.assertEqual(called, [1])

    def test_the_poll_waits_as_long_as_it_may_after_a_write(self) -> None:
        protocol, _ = self.connected()
        poller = self.watched()
        protocol.write(b"one")
        self.reactor.iterate(60)
        self.assertEqual(poller.timeouts, [60])


class InstallTests(SynchronousTestCase):
    """Becoming the reactor of a process."""

    def setUp(self) -> None:
        self.installed: list[object] = []
        self.patch(reactor, "installReactor", self.installed.append)

    def test_it_is_among_the_reactors(self) -> None:
        self.assertIn("eager", [each.shortName for each in getReactorTypes()])

    def test_this_twisted_has_all_that_it_leans_on(self) -> None:
        self.assertEqual(reactor.missing(), [])

    def test_it_is_installed(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reactor.install()
        (made,) = self.installed
        assert isinstance(made, EagerReactor)
        made._poller.close()

    def test_where_a_name_has_moved_the_stock_reactor_is_installed(self) -> None:
        leans_on = {**reactor.LEANS_ON, Server: "startTLS _moved_away"}
        self.patch(reactor, "LEANS_ON", leans_on)
        with self.assertWarnsRegex(
            RuntimeWarning, r"has not: twisted\.internet\.tcp\.Server\._moved"
        ):
            reactor.install()
        (made,) = self.installed
        assert isinstance(made, EPollReactor)
        self.assertIs(type(made), EPollReactor)
        made._poller.close()

    def test_without_epoll_it_says_what_it_needs(self) -> None:
        program = (
            "import select, sys; del select.epoll; sys.platform = 'darwin'; import netdemo.reactor"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        self.assertEqual(
            done.stderr.splitlines()[-1],
            "ImportError: the eager reactor needs epoll: expected Linux, not darwin",
        )
