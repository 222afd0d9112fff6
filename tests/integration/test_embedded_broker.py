"""``twistd amqp-bridge`` with no broker named: it brings one along, if its port is free."""

from __future__ import annotations

import contextlib
import signal
import socket
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process
from tests.rabbitmq import EMBEDDED_PORT, free_ports, is_free


class EmbeddedBrokerTests(SynchronousTestCase):
    """The bridge as a process of its own."""

    def setUp(self) -> None:
        self.push_port, self.pull_port = free_ports(2)

    def bridge(self) -> Process:
        """Start a bridge with one push and one pull route."""
        process = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "amqp-bridge", "--ack"),
            f"--push=/queue/embedded@tcp:{self.push_port}:interface=127.0.0.1",
            f"--pull=/queue/embedded@tcp:{self.pull_port}:interface=127.0.0.1",
            cwd=temporary_folder(self),
            environment={"NETDEMO_BROKER": ""},
        )
        self.addCleanup(process.remove)
        return process

    def connect(self, port: int) -> socket.socket:
        """Connect to the bridge."""
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def test_records_go_through_it_and_all_are_answered_at_the_end(self) -> None:
        if not is_free(EMBEDDED_PORT):
            raise SkipTest(f"something listens on port {EMBEDDED_PORT} of this machine")
        bridge = self.bridge()
        bridge.wait_for("ready")
        push = self.connect(self.push_port)
        push.sendall(b"".join(b"%d\n" % number for number in range(1000)))
        push.shutdown(socket.SHUT_WR)
        self.assertEqual(push.makefile("rb").read(), b"OK\n" * 1000)
        puller = self.connect(self.pull_port)
        pull = puller.makefile("rb")
        self.addCleanup(pull.close)
        for number in range(1000):
            self.assertEqual(int(pull.readline()), number)
            puller.sendall(b"ACK\n")
        self.assertEqual(bridge.terminate(), -signal.SIGTERM)
        self.assertNotIn("Traceback", "".join(bridge.lines))

    def test_port_in_use_is_one_line_that_says_what_to_type(self) -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # if somebody else has it, that will do
                other.bind(("127.0.0.1", EMBEDDED_PORT))
                other.listen()
            bridge = self.bridge()
            line = bridge.wait_for("amqp-bridge: ")
            self.assertEqual(1, bridge.wait())
        self.assertEqual(
            "amqp-bridge: no broker is named, and its own cannot listen on "
            f"tcp:{EMBEDDED_PORT}:interface=127.0.0.1: Address already in use; "
            "to use the one that is there: --broker amqp://127.0.0.1/\n",
            line,
        )
        self.assertNotIn("Traceback", "".join(bridge.lines))
