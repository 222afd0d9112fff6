"""What the bridge comes to on any real broker, RabbitMQ or ours, as a process of its own."""

from __future__ import annotations

import signal
import socket
import ssl
import time
from struct import pack
from typing import TYPE_CHECKING

from netdemo.address import QueueDestination
from netdemo.amqp.client import STOP_TIMEOUT
from netdemo.amqp.message import new_message_id
from netdemo.bridge.clients import LINGER
from netdemo.bridge.framing import Int32Framing, LineFraming, NetstringFraming
from netdemo.bridge.records import Records
from netdemo.bridge.routes import MAX_RECORD, PullRoute, PushRoute
from tests.bridge_process import BridgeProcess, connected_to, read, read_to_the_end
from tests.certificates import Authority
from tests.folders import temporary_folder
from tests.processes import PATIENCE
from tests.rabbitmq import free_ports
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from netdemo.bridge.framing import Framing

LOOPBACK = "127.0.0.1"


class BridgeTestCase(TidyTestCase):
    """A bridge with a push route to a queue and a pull route from it."""

    url: str
    framing: type[Framing] = LineFraming
    options: tuple[str, ...] = ("--ack",)

    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self)
        self.queue = new_message_id()
        self.push_port, self.pull_port = free_ports(2)
        self.bridge = BridgeProcess(
            self.folder,
            self.url,
            f"--push=/queue/{self.queue}@{self.push_endpoint()}",
            f"--pull=/queue/{self.queue}@{self.pull_endpoint()}",
            *self.options,
        )
        self.addCleanup(self._end_bridge)
        self.start()

    def start(self) -> None:
        """Start the bridge."""
        self.bridge.start()

    def _end_bridge(self) -> None:
        self.bridge.kill()
        mistakes = [
            line for line in self.bridge.lines if "Traceback" in line or "Unhandled" in line
        ]
        self.assertEqual([], mistakes, "".join(self.bridge.lines[-50:]))

    def push_endpoint(self) -> str:
        """Return that of the push route."""
        return f"tcp:{self.push_port}:interface={LOOPBACK}"

    def pull_endpoint(self) -> str:
        """Return that of the pull route."""
        return f"tcp:{self.pull_port}:interface={LOOPBACK}"

    def freeze_broker(self) -> None:
        """Have the broker do nothing until the end of the test."""
        raise NotImplementedError

    def connect(self, port: int) -> socket.socket:
        """Connect to the bridge."""
        connection = connected_to(port)
        self.addCleanup(connection.close)
        return connection

    def push(self, data: bytes) -> bytes:
        """Send `data` and return all answers."""
        connection = self.connect(self.push_port)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return read_to_the_end(connection)

    def pulled(self, count: int) -> list[bytes]:
        """Return so many records from the pull route, all of which are acknowledged."""
        connection = self.connect(self.pull_port)
        pulled: list[bytes] = []
        records = Records(self.framing, pulled.append, self.fail, MAX_RECORD)
        while len(pulled) < count and (data := connection.recv(65536)):
            before = len(pulled)
            records.data_received(data)
            connection.sendall(self.framing.encode(b"ACK") * (len(pulled) - before))
        return pulled


class Framings(BridgeTestCase):
    """Push and pull in one framing."""

    @property
    def options(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("--ack", f"--framing={self.framing.name}", "--max-record=1000")

    def records(self) -> list[bytes]:
        """Return records of all sizes, up to the limit."""
        return [b"%d" % number * (number % 100) for number in range(100)] + [b"x" * 1000]

    def test_each_record_is_answered_and_comes_out_as_it_went_in(self) -> None:
        records = self.records()
        answers = self.push(b"".join(map(self.framing.encode, records)))
        self.assertEqual(answers, self.framing.encode(b"OK") * len(records))
        self.assertEqual(self.pulled(len(records)), records)

    def test_record_that_is_too_long_is_answered_and_the_last(self) -> None:
        encode = self.framing.encode
        answers = self.push(encode(b"a") + encode(b"x" * 1001) + encode(b"b"))
        too_long = encode(b"ERR too-long a record has at most 1000 bytes here")
        self.assertEqual(answers, encode(b"OK") + too_long)


class Netstrings(Framings):
    """Push and pull in netstrings."""

    framing = NetstringFraming

    def records(self) -> list[bytes]:
        return [*super().records(), b"", b"\n", b"\0,", bytes(range(256))]

    def test_what_is_none_is_answered_and_ends_the_connection(self) -> None:
        expected = b"ERR malformed expected a netstring: 5:hello,"
        for nonsense in (b"hello\n", b"05:hello,", b"5:hello;"):
            answers = self.push(b"1:a," + nonsense + b"1:b,")
            self.assertEqual(answers, b"2:OK," + b"%d:%s," % (len(expected), expected))

    def test_hostile_length_is_answered_at_once(self) -> None:
        answers = self.push(b"9999999999999:")
        self.assertIn(b"ERR too-long", answers)


class Int32s(Framings):
    """Push and pull with lengths of 32 bits."""

    framing = Int32Framing

    def records(self) -> list[bytes]:
        return [*super().records(), b"", b"\n", bytes(range(256))]

    def test_hostile_length_is_answered_at_once(self) -> None:
        self.assertIn(b"ERR too-long", self.push(pack("!I", 0xFFFFFFFF)))


class Connecting(BridgeTestCase):
    """The bridge connects to a server that sends, and to one that takes."""

    def start(self) -> None:
        self.sending, self.taking = (self._listen() for _ in range(2))
        destination = QueueDestination(self.queue)
        places = (f"{LOOPBACK}:{each.getsockname()[1]}" for each in (self.sending, self.taking))
        push = PushRoute(destination, next(places), connect=True, ack=True)
        pull = PullRoute(destination, next(places), connect=True)
        self.bridge.embed(self.url, push, pull)
        self.bridge.start()

    def _listen(self) -> socket.socket:
        listening = socket.create_server((LOOPBACK, 0))
        self.addCleanup(listening.close)
        listening.settimeout(PATIENCE)
        return listening

    def accept(self, listening: socket.socket) -> socket.socket:
        """Return the connection that the bridge makes next."""
        connection, _ = listening.accept()
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        return connection

    def test_records_go_from_one_to_the_other_and_it_comes_back_to_both(self) -> None:
        for number in range(2):
            source, sink = self.accept(self.sending), self.accept(self.taking)
            source.sendall(b"".join(b"%d %d\n" % (number, each) for each in range(100)))
            source.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_the_end(source), b"OK\n" * 100)
            lines = sink.makefile("rb")
            expected = [b"%d %d\n" % (number, each) for each in range(100)]
            self.assertEqual([lines.readline() for _ in range(100)], expected)
            for each in (source, lines, sink):
                each.close()

    def test_stop_answers_what_is_in_flight_and_does_not_come_back(self) -> None:
        source = self.accept(self.sending)
        source.sendall(b"a\n" * 1000)
        self.assertEqual(read(source, 3), b"OK\n")
        self.bridge.signal(signal.SIGTERM)
        answers = b"OK\n" + read_to_the_end(source)
        source.close()
        self.bridge.wait()
        self.sending.settimeout(0)
        self.assertRaises(BlockingIOError, self.sending.accept)
        self.assertEqual(answers, b"OK\n" * (len(answers) // 3))


class Certificates(BridgeTestCase):
    """A push route with ``mtls:``."""

    def push_endpoint(self) -> str:
        authority = Authority(self.folder / "ca.pem")
        authority.issue(self.folder / "server.pem", "localhost")
        authority.issue(self.folder / "client.pem", client=True)
        stranger = Authority(self.folder / "other.pem", "Somebody else")
        stranger.issue(self.folder / "stranger.pem", client=True)
        files = f"caCerts={self.folder}/ca.pem:privateKey={self.folder}/server.pem"
        return f"mtls:{self.push_port}:{files}:interface={LOOPBACK}"

    def push_with(self, certificate: str | None) -> bytes:
        """Push a record over TLS and return the answer."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if certificate is not None:
            context.load_cert_chain(self.folder / certificate)
        with context.wrap_socket(self.connect(self.push_port), server_hostname="localhost") as tls:
            tls.sendall(b"a\n")
            return tls.recv(100)

    def test_client_with_a_certificate_of_the_authority_is_served(self) -> None:
        self.assertEqual(self.push_with("client.pem"), b"OK\n")

    def test_others_are_not(self) -> None:
        for certificate in (None, "stranger.pem"):
            self.assertRaises((ssl.SSLError, ConnectionError), self.push_with, certificate)
        self.assertEqual(self.push_with("client.pem"), b"OK\n")
        self.assertEqual(self.pulled(1), [b"a"])


class CertificatesToPull(BridgeTestCase):
    """A pull route with ``mtls:``, without answers."""

    options = ()

    def pull_endpoint(self) -> str:
        authority = Authority(self.folder / "ca.pem")
        authority.issue(self.folder / "server.pem", "localhost")
        authority.issue(self.folder / "client.pem", client=True)
        files = f"caCerts={self.folder}/ca.pem:privateKey={self.folder}/server.pem"
        return f"mtls:{self.pull_port}:{files}:interface={LOOPBACK}"

    def context(self) -> ssl.SSLContext:
        """Return that of a client without a certificate."""
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))

    def test_who_has_shown_none_has_taken_nothing(self) -> None:
        silent = self.connect(self.pull_port)
        self.push(b"a\n" * 10)
        with (
            self.assertRaises((ssl.SSLError, ConnectionError)),
            self.context().wrap_socket(
                self.connect(self.pull_port), server_hostname="localhost"
            ) as tls,
        ):
            self.assertTrue(tls.recv(100))
        silent.close()
        context = self.context()
        context.load_cert_chain(self.folder / "client.pem")
        with context.wrap_socket(self.connect(self.pull_port), server_hostname="localhost") as tls:
            self.assertEqual(tls.makefile("rb").read(20), b"a\n" * 10)


class Stopping(BridgeTestCase):
    """SIGTERM with records in flight."""

    grace = STOP_TIMEOUT + 2 * LINGER

    def test_what_was_read_is_answered_and_all_that_was_confirmed_is_there(self) -> None:
        connection = self.connect(self.push_port)
        sent = b"".join(b"%09d\n" % number for number in range(200_000))
        connection.setblocking(False)
        at = connection.send(sent)
        connection.settimeout(PATIENCE)
        answers = read(connection, 3)
        self.bridge.signal(signal.SIGTERM)
        answers += read_to_the_end(connection)
        connection.close()
        self.bridge.wait()
        count = len(answers) // 3
        self.assertEqual(answers, b"OK\n" * count)
        self.assertLessEqual(count, at // 10)
        self.bridge.kill()
        self.bridge.start()
        self.assertEqual(self.pulled(count)[:count], sent.splitlines()[:count])

    def test_without_a_broker_each_record_that_was_read_has_its_answer_in_time(self) -> None:
        connection = self.connect(self.push_port)
        connection.sendall(b"a\n")
        self.assertEqual(read(connection, 3), b"OK\n")
        self.freeze_broker()
        connection.sendall(b"a\n" * 100)
        connection.shutdown(socket.SHUT_WR)
        begun = time.monotonic()
        self.bridge.signal(signal.SIGTERM)
        answers = read_to_the_end(connection).splitlines()
        self.bridge.wait()
        self.assertLess(time.monotonic() - begun, self.grace)
        self.assertLessEqual({answer.split()[0] for answer in answers}, {b"ERR"})
        self.assertLessEqual(len(answers), 100)

    def test_what_a_client_has_not_acknowledged_is_given_back(self) -> None:
        self.push(b"a\n" * 50)
        connection = self.connect(self.pull_port)
        self.assertEqual(read(connection, 100), b"a\n" * 50)
        begun = time.monotonic()
        self.bridge.signal(signal.SIGTERM)
        read_to_the_end(connection)
        connection.close()
        self.bridge.wait()
        self.assertLess(time.monotonic() - begun, self.grace)
        self.bridge.kill()
        self.bridge.start()
        self.assertEqual(self.pulled(50), [b"a"] * 50)

    def test_second_signal_closes_at_once(self) -> None:
        connection = self.connect(self.push_port)
        connection.sendall(b"a\n")
        self.assertEqual(read(connection, 3), b"OK\n")
        self.freeze_broker()
        connection.sendall(b"a\n")
        self.bridge.signal(signal.SIGTERM)
        self.bridge.wait_for("Closed")  # the ports: from now on the next one ends it
        begun = time.monotonic()
        self.bridge.signal(signal.SIGTERM)
        self.assertEqual(self.bridge.wait(), -signal.SIGTERM)
        self.assertLess(time.monotonic() - begun, STOP_TIMEOUT / 2)
