"""The main job: real lines go into a real RabbitMQ through the bridge, and come back."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING
from unittest import SkipTest

from netdemo.amqp.message import new_message_id
from tests.certificates import tls_client, write_certificate
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process
from tests.rabbitmq import RabbitMQNode, RabbitMQTestCase, free_ports

if TYPE_CHECKING:
    import ssl

LOG = Path("/var/log/dpkg.log")
SECRET = "s3cret"

MANY_LINES = 300_000
"""More than the bridge carries while the node writes to its disk what it has."""

RESTART = 180.0
"""Seconds that a node may take to come up again, and then the bridge, which backs off to 30 s."""


class BridgeTestCase(RabbitMQTestCase):
    """A test with a queue of its own, and bridges to it as real processes."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = f"/queue/{new_message_id()}"
        self.push_port, self.pull_port = free_ports(2)
        self.cwd = temporary_folder(self)

    def bridge(self, *options: str, url: str | None = None) -> Process:
        """Start a bridge with one push and one pull route."""
        process = Process(
            PROGRAMS / "twistd",
            "-n",
            "--pidfile=",
            "amqp-bridge",
            f"--push={self.queue}@tcp:{self.push_port}:interface=127.0.0.1",
            f"--pull={self.queue}@tcp:{self.pull_port}:interface=127.0.0.1",
            *options,
            cwd=self.cwd,
            environment={"NETDEMO_BROKER": url or self.node.url},
        )
        self.addCleanup(process.remove)
        process.wait_for("PullFactory starting")
        return process

    def push(self, port: int = 0) -> socket.socket:
        """Connect to the push route, or another one at `port`."""
        return self._connected(port or self.push_port)

    def pull(self, port: int = 0, patience: float = PATIENCE) -> IO[bytes]:
        """Connect to the pull route, or another one at `port`."""
        connection = self._connected(port or self.pull_port)
        connection.settimeout(patience)
        file = connection.makefile("rb")
        self.addCleanup(file.close)
        return file

    def _connected(self, port: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(connection.close)
        return connection


class RealLogTests(BridgeTestCase):
    """A real log through ``nc -N`` into a push route, and back from a pull route."""

    def setUp(self) -> None:
        super().setUp()
        self.log = LOG.read_bytes() if LOG.exists() else b""
        if self.log.count(b"\n") < 1000:
            raise SkipTest(f"no real log: {LOG} has less than 1,000 lines")

    def nc(self, data: bytes) -> subprocess.Popen[bytes]:
        """Pipe `data` into the push route; the process ends when the bridge closes."""
        (self.cwd / "input").write_bytes(data)
        with (self.cwd / "input").open("rb") as file:
            process = subprocess.Popen(["nc", "-N", "127.0.0.1", str(self.push_port)], stdin=file)
        self.addCleanup(process.wait, PATIENCE)
        return process

    def test_comes_back_byte_identical(self) -> None:
        self.bridge()
        self.assertEqual(self.nc(self.log).wait(PATIENCE), 0)
        pull = self.pull()
        back = b"".join(pull.readline() for _ in self.log.splitlines())
        self.assertEqual(back, self.log)

    def test_no_line_is_lost_when_the_broker_is_killed_half_way(self) -> None:
        whole = self.log.splitlines()
        copies = 1 + MANY_LINES // len(whole)
        lines = [b"%d %s\n" % numbered for numbered in enumerate(whole * copies)]
        bridge = self.bridge()
        bridge.wait_for("ready")
        pull = self.pull(patience=RESTART)
        nc = self.nc(b"".join(lines))
        seen = {pull.readline() for _ in range(1000)}
        self.node.sync()
        self.assertIsNone(nc.poll(), "everything was sent before the broker was killed")
        self.node.kill()
        self.node.start()
        while len(seen) < len(lines):
            line = pull.readline()
            self.assertTrue(line, "the bridge has closed")
            seen.add(line)
        self.assertEqual(seen, set(lines))
        self.assertEqual(nc.wait(PATIENCE), 0)


class OwnQueueTests(BridgeTestCase):
    """A pull route from an exchange, whose queue goes with the connection to the broker."""

    def test_it_is_bound_again_before_anything_is_published(self) -> None:
        word = self.queue.rpartition("/")[2]
        push_port, pull_port = free_ports(2)
        bridge = self.bridge(
            "--ack",
            f"--push=/topic/{word}.b@tcp:{push_port}:interface=127.0.0.1",
            f"--pull=/topic/{word}.*@tcp:{pull_port}:interface=127.0.0.1",
        )
        bridge.wait_for("ready")
        pull = self.pull(pull_port)
        push = self.push(push_port)
        push.sendall(b"0\n")
        self.assertEqual(pull.readline(), b"0\n")
        self.assertEqual(push.recv(100), b"OK\n")
        self.node.control("close_all_connections", "for a test")
        push.sendall(b"".join(b"%d\n" % number for number in range(1, 51)))
        received = {int(pull.readline()) for _ in range(50)}
        self.assertEqual(received, set(range(1, 51)))


class ProbeTests(BridgeTestCase):
    """Clients that connect and leave at once, as monitors do."""

    def test_they_cost_nobody_anything(self) -> None:
        bridge = self.bridge("--ack")
        bridge.wait_for("ready")
        for _ in range(50):
            for port in (self.push_port, self.pull_port):
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        push, pull = self.push(), self.pull()
        push.sendall(b"a\n")
        self.assertEqual(push.recv(100), b"OK\n")
        self.assertEqual(pull.readline(), b"a\n")
        self.assertEqual([line for line in bridge.lines if "attempt" in line], [])


class BrokerAwayTests(BridgeTestCase):
    """The bridge starts before there is a broker, or is not let in."""

    def test_bridge_that_is_started_first_waits_and_then_works(self) -> None:
        node = RabbitMQNode()
        self.addCleanup(node.remove)
        bridge = self.bridge("--ack", url=node.url)
        bridge.wait_for("Connection refused; next attempt in")
        push = self.push()
        push.sendall(b"early\n")
        node.start()
        self.assertEqual(push.makefile("rb").readline(), b"OK\n")
        self.assertEqual(self.pull().readline(), b"early\n")

    def test_refused_login_is_in_the_brokers_words_with_back_off_and_no_password(self) -> None:
        bridge = self.bridge(url=self.node.url.replace(":guest@", f":{SECRET}@"))
        attempts = [bridge.wait_for("next attempt in") for _ in range(4)]
        words = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"
        delays = []
        for line in attempts:
            self.assertIn(words, line)
            delays.append(float(line.split("next attempt in ")[1].split()[0]))
        self.assertGreater(delays[3], delays[0])
        self.assertEqual(bridge.terminate(), -signal.SIGTERM)
        self.assertEqual(sum("ACCESS_REFUSED" in line for line in bridge.lines), 4)
        self.assertNotIn(SECRET, "".join(bridge.lines))

    def test_unknown_virtual_host_is_in_the_brokers_words(self) -> None:
        bridge = self.bridge(url=self.node.url + "nowhere")
        self.assertIn("NOT_ALLOWED - vhost nowhere not found", bridge.wait_for("next attempt in"))


class AnswerTests(BridgeTestCase):
    """``--ack``, on a real connection."""

    def test_each_of_many_pipelined_records_is_answered(self) -> None:
        self.bridge("--ack")
        push = self.push()
        push.sendall(b"".join(b"%d\n" % number for number in range(3000)))
        push.shutdown(socket.SHUT_WR)
        self.assertEqual(push.makefile("rb").read(), b"OK\n" * 3000)

    def test_too_long_record_is_answered_though_the_client_sends_on(self) -> None:
        bridge = self.bridge("--ack", "--max-record=1000")
        push = self.push()
        push.sendall(b"before\n" + b"x" * 2_000_000)
        answers = push.makefile("rb").read()
        self.assertEqual(answers, b"OK\nERR too-long a record has at most 1000 bytes here\n")
        bridge.wait_for("a record has at most 1000 bytes here")
        self.assertEqual(self.pull().readline(), b"before\n")

    def test_record_for_a_queue_that_is_not_there_is_unroutable(self) -> None:
        self.queue = self.queue.replace("/queue/", "/amq/queue/")
        self.bridge("--ack")
        push = self.push()
        push.sendall(b"x\n")
        self.assertEqual(push.makefile("rb").readline(), b"ERR unroutable NO_ROUTE\n")


class StoppingTests(BridgeTestCase):
    """SIGTERM finishes what is in hand."""

    def test_records_in_hand_are_published_and_nothing_is_left_behind(self) -> None:
        bridge = self.bridge()
        bridge.wait_for("ready")
        push = self.push()
        push.sendall(b"".join(b"%d\n" % number for number in range(500)))
        pull = self.pull()
        self.assertEqual(pull.readline(), b"0\n")
        self.assertEqual(bridge.terminate(), -signal.SIGTERM)
        self.assertNotIn("Traceback", "".join(bridge.lines))
        self.assertEqual(list(self.cwd.glob("*.pid")), [])
        rest = pull.read().splitlines()
        again = self.bridge()
        left = self.pull()
        while not rest or rest[-1] != b"499":
            line = left.readline()
            self.assertTrue(line, "the bridge has closed")
            rest.append(line.rstrip())
        self.assertEqual({int(line) for line in rest} | {0}, set(range(500)))
        self.assertEqual(again.terminate(), -signal.SIGTERM)


class StoppingWithoutBrokerTests(BridgeTestCase):
    """SIGTERM while the broker is away."""

    def test_every_record_is_answered_before_the_end(self) -> None:
        node = RabbitMQNode()
        self.addCleanup(node.remove)
        bridge = self.bridge("--ack", url=node.url)  # which never runs
        push = self.push()
        push.sendall(b"a\nb\n")
        for _ in range(2):  # by the second attempt it has surely read them
            bridge.wait_for("next attempt")
        self.assertEqual(bridge.terminate(), -signal.SIGTERM)
        answers = b"".join(iter(lambda: push.recv(4096), b""))
        self.assertEqual(answers, b"ERR not-sent the client was stopped\n" * 2)


class TLSTests(BridgeTestCase):
    """The same over TLS, which has no half-close."""

    def setUp(self) -> None:
        super().setUp()
        certificate = self.cwd / "certificate.pem"
        write_certificate(certificate)
        tls = f"ssl:{{}}:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
        self.push_tls, self.pull_tls = free_ports(2)
        self.routes = (
            "--ack",
            f"--push={self.queue}@{tls.format(self.push_tls)}",
            f"--pull={self.queue}@{tls.format(self.pull_tls)}",
        )

    def connect(self, port: int) -> ssl.SSLSocket:
        """Connect to a TLS endpoint, whose certificate nobody has signed."""
        connection = tls_client(self._connected(port))
        self.addCleanup(connection.close)
        return connection

    def test_records_are_answered_and_come_back_and_one_that_is_too_long_is_refused(self) -> None:
        self.bridge(*self.routes)
        push = self.connect(self.push_tls)
        push.sendall(b"a\nb\n" + b"x" * 100_000)
        answers = b"".join(iter(lambda: push.recv(4096), b""))
        self.assertRegex(answers, rb"\AOK\nOK\nERR too-long [^\n]+\n\Z")
        pull = self.connect(self.pull_tls).makefile("rb")
        self.addCleanup(pull.close)
        self.assertEqual([pull.readline(), pull.readline()], [b"a\n", b"b\n"])

    def test_sender_that_leaves_without_its_answers_loses_no_record(self) -> None:
        self.bridge(*self.routes)
        push = self.connect(self.push_tls)
        push.sendall(b"a\nb\n")
        push.unwrap()
        pull = self.pull()
        self.assertEqual([pull.readline(), pull.readline()], [b"a\n", b"b\n"])
