"""The stops of the tour that need sockets, and the broker that it brings along."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredLock

from netdemo.amqp import AMQPClient, Message, Topology
from netdemo.amqp import Queue as Declared
from netdemo.broker.queues import Queue, Taken
from netdemo.echo import EchoProtocol
from netdemo.errors import NetdemoError
from netdemo.poetry import get_poem
from netdemo.tour import STOPS, Mark, poetry, tour_site, visit
from netdemo.tour.messages import all_in
from netdemo.tour.own_broker import OwnBroker
from tests.folders import temporary_folder
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamClientEndpoint

    from netdemo.broker.message import Message as Kept

BY_NAME = {stop.name: stop for stop in STOPS}


class TourTestCase(TidyTestCase):
    """A test with a folder for what is temporary, in which nothing is left."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.patch(tempfile, "tempdir", str(self.folder))
        self.addCleanup(lambda: self.assertEqual(list(self.folder.iterdir()), []))

    async def visit(self, name: str) -> tuple[Mark, str]:
        """Visit a stop, and return what came of it."""
        async with tour_site(None, reactor, lambda _: None) as site:
            visited = await visit(BY_NAME[name], site)
        return visited.mark, visited.seen

    async def failure(self, name: str) -> str:
        """Return why a stop has failed, as it must."""
        mark, seen = await self.visit(name)
        self.assertEqual(mark, Mark.FAILED, seen)
        return seen


class EchoStopTests(TourTestCase):
    """Echo"""

    async def test_it_holds(self) -> None:
        self.assertEqual(await self.visit("echo"), (Mark.HELD, "65000 bytes came back unchanged"))

    async def test_echo_that_is_not_the_same_is_seen(self) -> None:
        received = EchoProtocol.dataReceived
        self.patch(EchoProtocol, "dataReceived", lambda echo, data: received(echo, data.upper()))
        self.assertIn("different answer after 1 right bytes", await self.failure("echo"))

    async def test_server_that_answers_less_is_seen(self) -> None:
        self.patch(EchoProtocol, "dataReceived", lambda echo, _: echo.transport.loseConnection())
        self.assertIn("closed early: 0 of 65000 bytes", await self.failure("echo"))


class PoetryStopTests(TourTestCase):
    """Poetry"""

    async def test_it_holds(self) -> None:
        mark, seen = await self.visit("poetry")
        self.assertEqual(mark, Mark.HELD, seen)
        self.assertRegex(seen, r"\A3 poems in \d\.\d s, not \d\.\d s as one by one; 1 server ")

    async def test_servers_that_are_read_one_by_one_are_seen(self) -> None:
        in_turn = DeferredLock()

        def get_in_turn(endpoint: IStreamClientEndpoint) -> Deferred[bytes]:
            return in_turn.run(get_poem, endpoint)

        self.patch(poetry, "get_poem", get_in_turn)
        self.assertRegex(await self.failure("poetry"), r"all took \d\.\d s: expected less than ")

    async def test_poem_that_is_not_whole_is_seen(self) -> None:
        self.patch(
            poetry, "get_poem", lambda endpoint: get_poem(endpoint).addCallback(lambda p: p[:-1])
        )
        self.assertIn("the poem of a quick server: expected", await self.failure("poetry"))


class BridgeStopTests(TourTestCase):
    """The bridge"""

    async def test_it_holds(self) -> None:
        mark, seen = await self.visit("bridge")
        self.assertEqual(mark, Mark.HELD, seen)

    async def test_record_that_is_not_taken_is_seen(self) -> None:
        push = Queue.push

        def refuse_second(queue: Queue, message: Kept) -> Taken:
            return Taken.REFUSED if message.body == b"second record" else push(queue, message)

        self.patch(Queue, "push", refuse_second)
        self.assertIn("saw [b'OK', b'ERR nack", await self.failure("bridge"))

    async def test_record_that_comes_twice_is_seen(self) -> None:
        push = Queue.push
        self.patch(Queue, "push", lambda *of: push(*of) and push(*of))
        self.assertIn("saw [b'first record', b'first rec", await self.failure("bridge"))


class OwnBrokerTests(TourTestCase):
    """The broker, its folder, and its end."""

    queue = Declared("kept")

    async def test_it_is_the_same_after_a_restart_with_what_is_durable(self) -> None:
        async with tour_site(None, reactor, lambda _: None) as site:
            async with site.client() as client:
                await client.declare(Topology(queues=(self.queue,)))
                await client.publish(Message(b"stays"), routing_key=self.queue.name)
            assert site.restart is not None
            await site.restart()
            async with site.client() as client:
                self.assertEqual(await all_in(self.queue, client), ["stays"])

    async def test_restart_that_is_cancelled_ends_with_a_broker_that_is_stopped(self) -> None:
        store = temporary_folder(self)
        broker = OwnBroker(store, reactor)
        async with tour_site(broker.url, reactor, lambda _: None) as site, site.client():
            restarting = Deferred.fromCoroutine(broker.restart())
            restarting.cancel()
            with self.assertRaises(CancelledError):
                await restarting
            await broker.stop()
        again = OwnBroker(store, reactor)  # which a store that is still open would refuse
        await again.stop()

    async def test_client_of_a_stop_that_fails_is_stopped(self) -> None:
        clients: list[AMQPClient] = []
        async with tour_site(None, reactor, lambda _: None) as site:
            with self.assertRaises(ZeroDivisionError):
                async with site.client() as client:
                    clients.append(client)
                    raise ZeroDivisionError
            self.assertEqual([each.status.state for each in clients], ["stopped"])

    async def test_login_that_is_refused_is_told_without_the_password(
        self,
    ) -> None:
        broker = OwnBroker(temporary_folder(self), reactor)
        url = broker.url.replace(":guest@", ":wr0ng@")
        async with tour_site(url, reactor, lambda _: None) as site:
            with self.assertRaises(NetdemoError) as raised:
                async with site.client():
                    pass
        await broker.stop()
        self.assertIn("ACCESS_REFUSED", str(raised.exception))
        self.assertNotIn("wr0ng", str(raised.exception))

    async def test_no_folder_for_what_is_temporary_is_told(self) -> None:
        self.patch(tempfile, "tempdir", str(self.folder / "none"))
        with self.assertRaises(NetdemoError) as raised:
            async with tour_site(None, reactor, lambda _: None):
                pass
        self.assertEqual(
            str(raised.exception), "cannot make a temporary folder: No such file or directory"
        )
