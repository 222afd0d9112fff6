"""Call and serve routes of a bridge in a process of its own, on any real broker."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import IO, Any

import pika
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from netdemo.address import parse_destination
from netdemo.amqp.message import new_message_id
from netdemo.amqp.rpc import ERROR_TYPE
from netdemo.bridge.routes import CallRoute, ServeRoute
from netdemo.bridge.service import bridge_service
from tests.folders import temporary_folder
from tests.integration.test_rpc_interop import TutorialServer, call, fib
from tests.processes import PATIENCE, PROGRAMS, Process, require
from tests.rabbitmq import free_ports
from tests.tidy import TidyTestCase

ROOT = Path(__file__).parents[1]


class CallingTestCase(TidyTestCase):
    """A queue of its own, a call and a serve route, and a TCP server behind it."""

    timeout = 120
    url: str

    def setUp(self) -> None:
        self.queue = new_message_id()
        self.destination = f"/queue/{self.queue}"
        self.call_port, self.server_port = free_ports(2)
        self.cwd = temporary_folder(self)

    def bridge(self, *options: str, serves: bool = True) -> Process:
        """Start a bridge, which is ready."""
        routes = [f"--call={self.destination}@tcp:{self.call_port}:interface=127.0.0.1"]
        if serves:
            routes.append(f"--serve={self.destination}@127.0.0.1:{self.server_port}")
        process = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "amqp-bridge"),
            *(*routes, *options),
            cwd=self.cwd,
            environment={"NETDEMO_BROKER": self.url},
        )
        self.addCleanup(process.remove)
        process.wait_for("ready")
        return process

    def server(self) -> Process:
        """Start a server of lines."""
        command = (sys.executable, "-m", "tests.line_server", str(self.server_port))
        process = Process(*command, cwd=ROOT)
        self.addCleanup(process.remove)
        process.wait_for("listening")
        return process

    def connect(self) -> tuple[socket.socket, IO[bytes]]:
        """Connect to the call route; return the connection, and what comes from it."""
        connection = socket.create_connection(("127.0.0.1", self.call_port), PATIENCE)
        self.addCleanup(connection.close)
        replies = connection.makefile("rb")
        self.addCleanup(replies.close)
        return connection, replies


class Calls(CallingTestCase):
    """Lines in at the call route come back from the server behind the serve route."""

    def test_a_thousand_pipelined_requests_are_answered_in_order(self) -> None:
        self.server()
        bridge = self.bridge()
        connection, replies = self.connect()
        connection.sendall(b"".join(b"%d\n" % number for number in range(1000)))
        connection.shutdown(socket.SHUT_WR)
        wanted = [b"%d" % number for number in range(1000)]
        self.assertEqual(replies.read().split(b"\n")[:-1], [each[::-1] for each in wanted])
        self.assertEqual(bridge.terminate(), -signal.SIGTERM)
        self.assertNotIn("Traceback", "".join(bridge.lines))

    def test_server_that_closes_after_each_answer_loses_nothing(self) -> None:
        require("socat")
        listening = f"TCP-LISTEN:{self.server_port},bind=127.0.0.1,reuseaddr,fork"
        server = Process("socat", "-d", "-d", listening, "EXEC:head -n 1", cwd=self.cwd)
        self.addCleanup(server.remove)
        server.wait_for("listening")
        bridge = self.bridge()
        connection, replies = self.connect()
        connection.sendall(b"".join(b"%d\n" % number for number in range(200)))
        connection.shutdown(socket.SHUT_WR)
        lines = replies.read().split(b"\n")[:-1]
        self.assertEqual(lines, [b"%d" % number for number in range(200)])
        self.assertEqual(bridge.terminate(), -signal.SIGTERM)
        self.assertNotIn("Traceback", "".join(bridge.lines))

    def test_server_that_is_killed_and_started_again_loses_nothing(self) -> None:
        server = self.server()
        self.bridge()
        connection, replies = self.connect()
        connection.sendall(b"".join(b"%d\n" % number for number in range(5000)))
        lines = [replies.readline() for _ in range(500)]
        server.remove()
        self.server()
        lines += [replies.readline() for _ in range(4500)]
        self.assertEqual(lines, [(b"%d" % number)[::-1] + b"\n" for number in range(5000)])

    def test_what_the_server_does_wrong_is_told_and_costs_nothing_else(self) -> None:
        self.server()
        self.bridge("--max-record=20")
        connection, replies = self.connect()
        connection.sendall(b"one\ndie\ntwo\ntwice\nthree\n")
        lines = [replies.readline() for _ in range(5)]
        self.assertEqual([lines[0], lines[2], lines[4]], [b"eno\n", b"owt\n", b"eerht\n"])
        ended = b"ERR remote the connection to the server ended before its reply: closed by the "
        self.assertEqual(lines[1], ended + b"other side\n")
        self.assertTrue(lines[3].startswith(b"ERR remote bad reply from the server: "), lines[3])

    def test_nobody_who_serves_is_an_error_at_once(self) -> None:
        self.destination = f"/amq/queue/{self.queue}"
        self.bridge(serves=False)
        connection, replies = self.connect()
        connection.sendall(b"a\n")
        self.assertEqual(replies.readline(), b"ERR unroutable NO_ROUTE\n")

    def test_requests_in_hand_when_it_is_stopped_are_answered(self) -> None:
        self.server()
        bridge = self.bridge()
        connection, replies = self.connect()
        connection.sendall(b"first\n")
        self.assertEqual(replies.readline(), b"tsrif\n")
        connection.sendall(b"wait\n")
        other, other_replies = self.connect()
        other.sendall(b"last\n")
        self.assertEqual(other_replies.readline(), b"tsal\n")
        bridge.signal(signal.SIGTERM)
        error = b"ERR timeout no reply before the bridge was stopped\n"
        self.assertEqual(replies.read(), error)
        for each in (connection, replies, other, other_replies):
            each.close()
        self.assertEqual(bridge.wait(), -signal.SIGTERM)
        self.assertNotIn("Traceback", "".join(bridge.lines))

    def test_callers_of_the_tutorial_are_answered(self) -> None:
        self.server()
        self.bridge()
        for direct in (False, True):
            reply = call(self.url, self.queue, b"hello", direct=direct)
            self.assertEqual(reply, (b"olleh", None))
        text, kind = call(self.url, self.queue, b"two\nlines", direct=True)
        self.assertEqual(kind, ERROR_TYPE)
        self.assertIn(b"newline", text)

    def test_servers_of_the_tutorial_answer(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.url)) as setting_up:
            setting_up.channel().queue_declare(self.queue, durable=True)
        server = TutorialServer(self.url, self.queue)
        self.addCleanup(server.stop)
        self.bridge(serves=False)
        connection, replies = self.connect()
        connection.sendall(b"".join(b"%d\n" % number for number in range(15)))
        lines = [replies.readline() for _ in range(15)]
        self.assertEqual(lines, [b"%d\n" % fib(number) for number in range(15)])


class Timeouts(CallingTestCase):
    """A bridge in the reactor of the tests, with a server that does not answer each request."""

    async def ask(self, *requests: bytes, call: float, serve: float) -> list[bytes]:
        """Send requests to routes with these timeouts; return what they are answered with."""
        self.server()
        destination = parse_destination(self.destination)
        bridge = bridge_service(
            [self.url],
            [
                CallRoute(destination, f"tcp:{self.call_port}:interface=127.0.0.1", timeout=call),
                ServeRoute(destination, f"127.0.0.1:{self.server_port}", servers=1, timeout=serve),
            ],
            reactor,
        )
        bridge.startService()
        self.addCleanup(bridge.stopService)
        client: Any = bridge.getServiceNamed("amqp")
        await client.when_ready()
        connection, replies = self.connect()

        def talk() -> list[bytes]:
            connection.sendall(b"".join(request + b"\n" for request in requests))
            connection.shutdown(socket.SHUT_WR)
            return replies.read().splitlines()

        answers: list[bytes] = await deferToThread(talk)
        return answers

    async def test_call_without_reply_is_told_of_it(self) -> None:
        answers = await self.ask(b"one", b"wait", call=1, serve=3)
        error = f"ERR timeout no reply from '{self.queue}' within 1 s".encode()
        self.assertEqual(answers, [b"eno", error])

    async def test_server_without_reply_costs_its_request_alone(self) -> None:
        answers = await self.ask(b"one", b"wait", b"two", call=30, serve=1)
        error = b"ERR remote no reply from the server within 1 s"
        self.assertEqual(answers, [b"eno", error, b"owt"])
