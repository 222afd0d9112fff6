"""docs/production.md is true: its unit is run as systemd would run it, with its files."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from tests.broker_process import BrokerProcessTestCase
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process

GUIDE = (Path(__file__).parents[2] / "docs" / "production.md").read_text()
FILES = dict(
    re.findall(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
)
BINARIES = "/opt/netdemo/bin"

ACTIVATE = """
import os, sys
descriptor, name, *command = sys.argv[1:]
os.dup2(int(descriptor), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
os.execv(command[0], command)
"""
"""Hands a socket over as systemd does; see ``sd_listen_fds(3)``."""


def unit(kind: str) -> ConfigParser:
    """Return a unit of the guide."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(FILES[f"/etc/systemd/system/amqp-bridge.{kind}"])
    return parser


class UnitTests(BrokerProcessTestCase):
    """The bridge, started with the socket and the environment that its units name."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self)
        self.environment = {"NETDEMO_BROKER": self.broker.url}
        config = self.folder / "amqp-bridge.toml"
        shown = FILES["/etc/amqp-bridge.toml"]
        state = f"/var/lib/{unit('service')['Service']['StateDirectory']}"
        self.assertIn(state, shown)
        config.write_text(shown.replace(state, str(self.folder)))
        command = unit("service")["Service"]["ExecStart"].split()
        self.assertTrue(command[0].startswith(BINARIES))
        self.assertEqual("/etc/amqp-bridge.toml", command[-1])
        self.command = [command[0].replace(BINARIES, str(PROGRAMS)), *command[1:-1], str(config)]
        subprocess.run(
            [PROGRAMS / "netdemo", "send", "/queue/readings", "first"],
            env=self.environment,
            timeout=PATIENCE,
            check=True,
        )
        self.listening = socket.create_server(
            ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True
        )
        self.addCleanup(self.listening.close)

    def start(self) -> Process:
        """Start it as systemd does."""
        process = Process(
            *(sys.executable, "-c", ACTIVATE, str(self.listening.fileno())),
            *(unit("socket")["Socket"]["FileDescriptorName"], *self.command),
            cwd=self.folder,
            environment=self.environment,
            pass_fds=(self.listening.fileno(),),
        )
        self.addCleanup(process.remove)
        return process

    def connect(self) -> socket.socket:
        """Connect as a device does, with IPv4."""
        port = self.listening.getsockname()[1]
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def push(self, connection: socket.socket) -> bytes:
        """Send a record; return the answer."""
        connection.sendall(b"21.5\n")
        return connection.recv(100)

    def test_who_comes_before_it_runs_and_between_two_runs_is_served(self) -> None:
        for _ in range(2):
            early = self.connect()
            process = self.start()
            self.assertEqual(b"OK\n", self.push(early))
            early.close()
            self.assertEqual(-signal.SIGTERM, process.terminate())

    def test_reload_keeps_the_socket_and_its_clients(self) -> None:
        process, client = self.start(), self.connect()
        self.assertEqual(b"OK\n", self.push(client))
        self.assertEqual("kill -HUP $MAINPID", unit("service")["Service"]["ExecReload"])
        process.signal(signal.SIGHUP)
        process.wait_for("was read again")
        self.assertEqual(b"OK\n", self.push(client))
        self.assertEqual(b"OK\n", self.push(self.connect()))

    def test_changed_route_listens_on_the_same_socket(self) -> None:
        process = self.start()
        self.assertEqual(b"OK\n", self.push(self.connect()))
        with open(self.command[-1], "a") as config:
            config.write("max_record = 100\n")
        process.signal(signal.SIGHUP)
        process.wait_for("was read again; routes: 1")
        self.assertEqual(b"OK\n", self.push(self.connect()))

    def test_environment_is_a_file_that_hides_the_broker(self) -> None:
        path = unit("service")["Service"]["EnvironmentFile"]
        (line,) = FILES[path].splitlines()
        self.assertRegex(line, r"\ANETDEMO_BROKER=amqps://\S+\Z")
