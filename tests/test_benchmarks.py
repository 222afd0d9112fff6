"""That the benchmarks count what went wrong, and that their goals can be missed."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.broker import Broker, reading_of_broker, told_by
from benchmarks.comparison import Goal, Row, at_least, at_most_times, is_reached, no_dearer
from benchmarks.load import LoadError, Reading, parse
from benchmarks.peers.in_flight import publish_all
from benchmarks.peers.turn import IN_FLIGHT, Order, bodies
from benchmarks.provision import compiled
from benchmarks.servers import Peer, free_port
from tests.processes import require

if TYPE_CHECKING:
    from collections.abc import Callable


def row(peer: str, *figures: float) -> Row:
    """Return what rounds read as `figures`."""
    return Row(peer, [Reading(figure) for figure in figures])


def listens(port: int) -> bool:
    """Return whether a connection is accepted on `port`."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


class GoalTests(SynchronousTestCase):
    """Goals and the ratios they look at."""

    def test_the_ratio_is_that_within_the_rounds(self) -> None:
        self.assertEqual(row("ours", 10, 2, 30).ratio(row("theirs", 5, 1, 60)), 2)

    def test_a_goal_of_equal_speed(self) -> None:
        goal = at_least("ours", "theirs")
        self.assertTrue(is_reached(goal, [row("theirs", 5), row("ours", 5)]))
        self.assertFalse(is_reached(goal, [row("theirs", 5), row("ours", 4.9)]))

    def test_a_goal_beside_a_peer_that_was_left_out_is_not_reached(self) -> None:
        goal = Goal("any", ("ours", "theirs"), lambda _: True)
        self.assertFalse(is_reached(goal, [row("ours", 5)]))

    def test_a_goal_of_equal_processor_time(self) -> None:
        theirs = Row("theirs", [Reading(100, busy=0.5)])  # 5 ms each
        for busy, reached in ((1.0, True), (1.1, False)):
            ours = Row("ours", [Reading(200, busy=busy)])
            self.assertEqual(is_reached(no_dearer("ours", "theirs"), [ours, theirs]), reached)

    def test_a_goal_of_processor_time_with_room_for_noise(self) -> None:
        theirs = Row("theirs", [Reading(100, busy=0.5)])
        for busy, reached in ((1.09, True), (1.11, False)):
            ours = Row("ours", [Reading(200, busy=busy)])
            goal = no_dearer("ours", "theirs", 1.1)
            self.assertEqual(is_reached(goal, [ours, theirs]), reached)

    def test_a_goal_of_a_share_of_the_time(self) -> None:
        goal = at_most_times("ours", "theirs", 0.7)
        self.assertTrue(is_reached(goal, [row("ours", 7), row("theirs", 10)]))
        self.assertFalse(is_reached(goal, [row("ours", 7.1), row("theirs", 10)]))


class ClientTests(SynchronousTestCase):
    """What peers that are clients of a broker tell, and whether that is believed."""

    def told(self, program: str, count: int) -> dict[str, float]:
        """Run a peer in Python that shall do `count` things."""
        return told_by(Peer("theirs", lambda _: [sys.executable, "-c", program]), 0, count)

    def test_a_peer_that_did_all(self) -> None:
        self.assertEqual(self.told("print('{\"count\": 5}')", 5), {"count": 5})

    def test_a_peer_that_did_fewer(self) -> None:
        with self.assertRaisesRegex(LoadError, "theirs: 4 of 5"):
            self.told("print('{\"count\": 4}')", 5)

    def test_a_peer_that_failed_after_it_told(self) -> None:
        with self.assertRaisesRegex(LoadError, "theirs: not closed"):
            self.told("print('{\"count\": 5}'); raise SystemExit('not closed')", 5)

    def test_a_peer_that_told_nothing(self) -> None:
        with self.assertRaisesRegex(LoadError, "theirs: ''"):
            self.told("", 5)

    def test_a_turn_in_which_the_broker_is_measured(self) -> None:
        told = {"count": 100.0, "seconds": 2.0, "processor": 1.0}
        self.assertEqual(reading_of_broker(told, 0.25, each=50), Reading(2500, 0.25, 0.5))

    def test_more_messages_in_the_queue_than_were_published(self) -> None:
        class Channel:
            def queue_declare(self, queue: str, passive: bool) -> Any:
                assert passive
                count = 7 if queue == "another" else 6
                return SimpleNamespace(method=SimpleNamespace(message_count=count))

        node: Any = None
        channel: Any = Channel()
        broker = Broker(node, channel)
        broker.require_messages(6, "theirs")
        with self.assertRaisesRegex(LoadError, "theirs: 6 messages in the queue, expected 5"):
            broker.require_messages(5, "theirs")
        broker.require_messages(7, "theirs", "another")

    def test_messages_in_order(self) -> None:
        order = Order(2)
        for body in bodies(2):
            self.assertFalse(order.complete)
            order.came(body)
        self.assertTrue(order.complete)
        self.assertRaises(ValueError, order.came, body)

    def test_a_message_twice(self) -> None:
        order = Order(2)
        order.came(bodies(1)[0])
        self.assertRaises(ValueError, order.came, bodies(1)[0])

    def test_each_confirm_lets_one_more_be_published(self) -> None:
        published: list[Deferred[None]] = []

        def publish(_: bytes) -> Deferred[None]:
            published.append(Deferred())
            return published[-1]

        done = publish_all(publish, bodies(IN_FLIGHT + 1))
        self.assertEqual(len(published), IN_FLIGHT)
        for outgoing in published:  # it grows by one
            self.assertNoResult(done)
            outgoing.callback(None)
        self.assertEqual(self.successResultOf(done), IN_FLIGHT + 1)

    def test_a_message_that_is_refused(self) -> None:
        published = iter([Deferred[None](), Deferred[None]()])
        first: list[Deferred[None]] = []

        def publish(_: bytes) -> Deferred[None]:
            first.append(next(published))
            return first[-1]

        done = publish_all(publish, bodies(2))
        first[0].callback(None)
        first[1].errback(ValueError("refused"))
        self.failureResultOf(done, ValueError)


class LoadTests(SynchronousTestCase):
    """The load in C, against servers that do what they should and those that don't."""

    def setUp(self) -> None:
        require("cc")

    def load(self, mode: str, port: int, size: int, request: str = "") -> tuple[int, float, float]:
        """Run it for a moment on two connections; return status, count and errors."""
        numbers = [port, 2, size, 0.2]
        finished = subprocess.run(
            [compiled("load"), mode, *map(str, numbers), *([request] if request else [])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        found = parse(finished.stdout)
        return finished.returncode, found["count"], found["errors"]

    def served(self, answer: Callable[[bytes], bytes], *, reads: bool = True) -> int:
        """Serve: read once, send the answer, close. Return the port."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer(connection.recv(1000) if reads else b""))

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(listener.close)
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)
        return int(listener.getsockname()[1])

    def test_echo(self) -> None:
        port = free_port()
        server = subprocess.Popen([compiled("echo_server"), str(port)])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        while not listens(port):
            self.assertIsNone(server.poll())
        status, count, errors = self.load("echo", port, 64)
        self.assertEqual((status, errors), (0, 0))
        self.assertGreater(count, 0)
        self.assertEqual(self.load("idle", port, 1), (0, 2, 0))

    def test_an_echo_of_other_bytes(self) -> None:
        port = self.served(lambda data: data[::-1])
        self.assertEqual(self.load("echo", port, 64), (1, 0, 2))

    def test_whole_downloads(self) -> None:
        port = self.served(lambda _: b"poem" * 500, reads=False)
        status, count, errors = self.load("files", port, 2000)
        self.assertEqual((status, errors), (0, 0))
        self.assertGreater(count, 0)

    def test_a_short_download(self) -> None:
        port = self.served(lambda _: b"poem" * 499, reads=False)
        self.assertEqual(self.load("bulk", port, 2000), (1, 0, 2))

    def test_the_head_of_an_answer_is_not_counted(self) -> None:
        port = self.served(lambda data: b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + data)
        request = "GET / HTTP/1.1\r\n\r\n"
        self.assertEqual(self.load("bulk", port, len(request), request), (0, 2, 0))

    def test_nobody_listens(self) -> None:
        self.assertEqual(self.load("bulk", free_port(), 1), (1, 0, 2))
