"""A bridge whose routes are in a file that is read again, on any broker."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.message import new_message_id
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process
from tests.rabbitmq import free_ports

if TYPE_CHECKING:
    from io import BufferedRWPair

RECORDS = 20_000
READ = "was read again"
"""What the bridge logs when the routes are changed."""


class Reloading(SynchronousTestCase):
    """A bridge with routes in a file, to the broker at `url`."""

    url: str

    def begin(self) -> None:
        """Choose names and ports, and start the bridge with a push and two pull routes."""
        self.word = new_message_id()
        self.ports = dict(zip("abcdef", free_ports(6), strict=True))
        self.folder = temporary_folder(self)
        (self.folder / "other").mkdir()
        self.routes = {
            "a": self.route("push", f"/queue/{self.word}", "a", "ack = true"),
            "b": self.route("pull", f"/queue/{self.word}", "b"),
            "c": self.route("push", f"/topic/{self.word}", "c", "ack = true"),
            "d": self.route("pull", f"/topic/{self.word}", "d"),
        }
        self.write()
        self.bridge = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "--rundir=other"),
            *("amqp-bridge", "--config=bridge.toml"),
            cwd=self.folder,
        )
        self.addCleanup(self.end)
        self.bridge.wait_for("ready")

    def end(self) -> None:
        """End the bridge; it has made no mistake."""
        self.assertEqual(self.bridge.terminate(), -signal.SIGTERM)
        self.bridge.remove()
        self.assertNotIn("Traceback", "".join(self.bridge.lines))

    def route(self, kind: str, destination: str, port: str, *lines: str) -> str:
        """Return a route in TOML; `port` is the name of one."""
        endpoint = f"tcp:{self.ports[port]}:interface=127.0.0.1"
        own = "\n".join(lines)
        return f'[[{kind}]]\ndestination = "{destination}"\nlisten = "{endpoint}"\n{own}\n'

    def write(self, more: str = "") -> None:
        """Write the file."""
        text = f'broker = "{self.url}"\n{more}\n' + "".join(self.routes.values())
        (self.folder / "bridge.toml").write_text(text)

    def reload(self, expected: str = READ, more: str = "") -> str:
        """Write the file, have it read, and return the next line with `expected`."""
        self.write(more)
        self.bridge.signal(signal.SIGHUP)
        return self.bridge.wait_for(expected)

    def connect(self, port: str) -> BufferedRWPair:
        """Connect to a route."""
        connection = socket.create_connection(("127.0.0.1", self.ports[port]), PATIENCE)
        self.addCleanup(connection.close)
        file = connection.makefile("rwb")
        self.addCleanup(file.close)
        return file

    def push(self, client: BufferedRWPair, *lines: bytes) -> None:
        """Send lines; each is taken."""
        client.write(b"".join(line + b"\n" for line in lines))
        client.flush()
        self.assertEqual([client.readline() for _ in lines], [b"OK\n"] * len(lines))

    def test_who_is_connected_to_untouched_routes_loses_nothing(self) -> None:
        push, pull = self.connect("a"), self.connect("b")
        lines = [b"%d" % number for number in range(RECORDS)]
        answers: list[bytes] = []
        pulled: list[bytes] = []

        def send() -> None:
            for start in range(0, RECORDS, 100):
                push.write(b"".join(line + b"\n" for line in lines[start : start + 100]))
                push.flush()
                answers.extend(push.readline() for _ in range(100))

        def receive() -> None:
            pulled.extend(pull.readline().rstrip() for _ in range(RECORDS))

        threads = [threading.Thread(target=each) for each in (send, receive)]
        for thread in threads:
            thread.start()
        topic = self.routes.pop("d")
        self.reload()
        self.routes["e"] = self.route("call", "/queue/x", "e", "timeout = -1")
        self.reload("nothing is changed")
        self.routes["e"] = self.route("push", f"/queue/{self.word}-e", "e")
        self.reload()
        self.routes["d"] = topic + "prefetch = 5\n"
        self.reload()
        for thread in threads:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())
        self.assertEqual(answers, [b"OK\n"] * RECORDS)
        self.assertEqual(pulled, lines)
        listening = [line for line in self.bridge.lines if f"starting on {self.ports['a']}" in line]
        self.assertEqual(len(listening), 1)

    def test_added_route_is_carried(self) -> None:
        self.assertRaises(ConnectionRefusedError, self.connect, "e")
        self.routes["e"] = self.route("push", f"/queue/{self.word}", "e", "ack = true")
        self.reload()
        self.push(self.connect("e"), b"added")
        self.assertEqual(self.connect("b").readline(), b"added\n")

    def test_removed_route_is_carried_no_more(self) -> None:
        push = self.connect("c")
        self.push(push, b"x")
        del self.routes["c"]
        self.write()
        self.bridge.signal(signal.SIGHUP)
        self.assertEqual(push.readline(), b"")
        push.close()
        self.bridge.wait_for(READ)
        self.assertRaises(ConnectionRefusedError, self.connect, "c")

    def test_changed_route_with_a_queue_of_its_own_loses_nothing(self) -> None:
        push, pull = self.connect("c"), self.connect("d")
        pulled: list[bytes] = []
        for number in range(5):
            self.push(push, *(b"%d-%d" % (number, each) for each in range(100)))
            self.routes["d"] = self.route(
                "pull", f"/topic/{self.word}", "d", f"prefetch = {7 + number}"
            )
            self.write()
            self.bridge.signal(signal.SIGHUP)
            self.push(push, *(b"%d-%d" % (number, each) for each in range(100, 200)))
            pulled += pull.readlines()
            pull.close()
            self.bridge.wait_for(READ)
            pull = self.connect("d")
        expected = [b"%d-%d\n" % (number, each) for number in range(5) for each in range(200)]
        while set(pulled) != set(expected):
            line = pull.readline()
            self.assertTrue(line)
            pulled.append(line)

    def test_bad_file_leaves_everything_as_it_was(self) -> None:
        push, pull = self.connect("a"), self.connect("b")
        line = self.reload("nothing is changed", "colour = 1")
        self.assertIn("bridge.toml: colour: unknown key; ", line)
        good, url = dict(self.routes), self.url
        self.routes = {"a": self.routes["a"] + "max_record = true\n"}
        line = self.reload("nothing is changed")
        self.assertIn("push[1].max_record: true: expected a whole number from 1 to 536870912", line)
        self.routes, self.url = good, "amqp://ann:s3cret@another"
        self.assertIn("broker: another value needs a restart", self.reload("nothing is changed"))
        self.url = url
        self.reload()
        self.push(push, b"x")
        self.assertEqual(pull.readline(), b"x\n")

    def test_route_whose_port_is_taken_is_tried_again(self) -> None:
        self.routes["f"] = self.route("push", f"/queue/{self.word}", "f", "ack = true")
        with socket.create_server(("127.0.0.1", self.ports["f"])):
            line = self.reload("is not carried")
            self.assertIn("Address already in use", line)
            self.bridge.wait_for(READ)
        self.reload()
        self.push(self.connect("f"), b"x")
