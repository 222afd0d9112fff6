"""Mistakes at the command line, with real processes: one line, status 1, nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
from importlib.metadata import version

from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.command import Options
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS
from tests.rabbitmq import free_ports

VERBS = tuple(name for name, *_ in Options.subCommands)
COMMANDS = ("echo", "poetry", "amqp-broker", "amqp-bridge")
BAD_URL = "amqp://us3r:p4ss/w0rd@mq.example"
LOGIN = ("us3r", "p4ss", "w0rd")
AS_ROOT_THAT_MAY_NOT_READ_EVERY_FILE = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


class ProcessTestCase(SynchronousTestCase):
    """A test that runs a program to its end, in an empty folder."""

    program: tuple[str, ...] = ()
    wrapper: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.cwd = self.folder / "cwd"
        self.cwd.mkdir()

    def execute(self, *arguments: str, broker: str = "") -> subprocess.CompletedProcess[str]:
        """Run the program and return how it ended."""
        program, *options = self.program
        return subprocess.run(
            [*self.wrapper, PROGRAMS / program, *options, *arguments],
            cwd=self.cwd,
            env={**os.environ, "NETDEMO_BROKER": broker},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def refusal(self, *arguments: str, broker: str = "") -> str:
        """Return the one line of a program that refuses to start, as it must.

        It ends with status 1, prints no traceback and nothing of a login, and leaves no file.
        """
        ended = self.execute(*arguments, broker=broker)
        self.assertEqual(1, ended.returncode, ended)
        self.assertRegex(ended.stderr, r"\A[^\n]+\n\Z")
        for unwanted in ("Traceback", *LOGIN):
            self.assertNotIn(unwanted, ended.stdout + ended.stderr)
        self.assertEqual([], os.listdir(self.cwd))
        return ended.stderr

    def taken_port(self) -> int:
        """Return a TCP port of the loopback on which somebody listens during this test."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        return int(listening.getsockname()[1])


class TwistdTests(ProcessTestCase):
    """``twistd``"""

    program: tuple[str, ...] = ("twistd", "-n", "--pidfile=")

    def test_help_lists_the_commands(self) -> None:
        listed = self.execute("--help").stdout.partition("\nCommands:\n")[2]
        names = [line.split()[0] for line in listed.splitlines() if line.strip()]
        self.assertEqual(set(), set(COMMANDS) - set(names))

    def test_poetry_without_file_is_refused(self) -> None:
        self.assertIn("poetry: no --file: ", self.refusal("poetry"))

    def test_poetry_with_missing_file_is_refused(self) -> None:
        path = self.folder / "none.txt"
        self.assertEqual(
            f"poetry: cannot read --file '{path}': No such file or directory\n",
            self.refusal("poetry", f"--file={path}"),
        )

    def test_poetry_with_folder_is_refused(self) -> None:
        self.assertEqual(
            f"poetry: cannot read --file '{self.folder}': expected a regular file\n",
            self.refusal("poetry", f"--file={self.folder}"),
        )

    def test_poetry_with_file_under_a_file_is_refused(self) -> None:
        (self.folder / "poem.txt").touch()
        path = self.folder / "poem.txt" / "more.txt"
        self.assertEqual(
            f"poetry: cannot read --file '{path}': Not a directory\n",
            self.refusal("poetry", f"--file={path}"),
        )

    def test_poetry_with_file_that_may_not_be_read_is_refused(self) -> None:
        if os.geteuid() == 0:
            self.wrapper = AS_ROOT_THAT_MAY_NOT_READ_EVERY_FILE
        path = self.folder / "poem.txt"
        path.touch(mode=0)
        self.assertEqual(
            f"poetry: cannot read --file '{path}': Permission denied\n",
            self.refusal("poetry", f"--file={path}"),
        )

    def test_malformed_endpoint_is_refused(self) -> None:
        text = self.refusal("echo", "--listen=tcp:x")
        self.assertIn("echo: bad endpoint 'tcp:x': ", text)

    def test_same_endpoint_twice_is_refused(self) -> None:
        (port,) = free_ports(1)
        self.assertIn(
            "echo: ", self.refusal("echo", f"--listen=tcp:{port}", f"--listen=tcp:{port}")
        )

    def test_malformed_destination_is_refused(self) -> None:
        text = self.refusal("amqp-bridge", "--push=hello@tcp:7001")
        self.assertIn("amqp-bridge: bad destination 'hello': expected /queue/NAME, ", text)

    def test_users_that_are_not_there_are_refused(self) -> None:
        path = self.folder / "users"
        self.assertEqual(
            f"amqp-broker: --users: cannot read '{path}': No such file or directory\n",
            self.refusal("amqp-broker", f"--users={path}"),
        )

    def test_malformed_users_are_refused_without_their_hashes(self) -> None:
        path = self.folder / "users"
        path.write_text("ann:p4ss:w0rd\n")
        self.assertEqual(
            f"amqp-broker: --users: '{path}', line 1: "
            "expected NAME:HASH[:VHOST:CONFIGURE:WRITE:READ]...\n",
            self.refusal("amqp-broker", f"--users={path}"),
        )

    def test_malformed_broker_url_is_refused(self) -> None:
        text = self.refusal("amqp-bridge", f"--broker={BAD_URL}")
        self.assertIn("amqp-bridge: bad broker URL 'amqp://***@mq.example': ", text)

    def test_malformed_broker_url_in_the_environment_is_refused(self) -> None:
        text = self.refusal("amqp-bridge", broker=BAD_URL)
        self.assertIn("amqp-bridge: bad broker URL 'amqp://***@mq.example': ", text)

    def test_port_in_use_is_refused(self) -> None:
        endpoint = f"tcp:{self.taken_port()}:interface=127.0.0.1"
        self.assertEqual(
            f"echo: cannot listen on {endpoint}: Address already in use\n",
            self.refusal("echo", f"--listen={endpoint}"),
        )

    def test_port_of_a_route_in_use_is_refused(self) -> None:
        endpoint = f"tcp:{self.taken_port()}:interface=127.0.0.1"
        (broker,) = free_ports(1)
        self.assertEqual(
            f"amqp-bridge: cannot listen on {endpoint}: Address already in use\n",
            self.refusal(
                "amqp-bridge", f"--pull=/queue/x@{endpoint}", broker=f"amqp://127.0.0.1:{broker}"
            ),
        )

    def test_port_in_use_leaves_no_other_endpoint_listening(self) -> None:
        (port,) = free_ports(1)
        self.refusal("echo", f"--listen=tcp:{port}", f"--listen=tcp:{self.taken_port()}")
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port))

    def test_port_beyond_the_last_is_refused(self) -> None:
        text = self.refusal("echo", "--listen=tcp:65536")
        self.assertIn("echo: cannot listen on tcp:65536: ", text)


class TwistTests(TwistdTests):
    """``twist``, with the same mistakes."""

    program = ("twist",)


class PidFileTests(ProcessTestCase):
    """``twistd`` with a PID file."""

    program = ("twistd", "-n", "--pidfile=twistd.pid")

    def test_port_in_use_leaves_no_pid_file(self) -> None:
        port = self.taken_port()
        text = self.refusal("echo", f"--listen=tcp:{port}:interface=127.0.0.1")
        self.assertIn("Address already in use", text)


class NetdemoTests(ProcessTestCase):
    """``netdemo``"""

    program = ("netdemo",)

    def test_help_of_each_command_is_output_with_an_example(self) -> None:
        for command in ("", *VERBS):
            ended = self.execute(*command.split(), "--help")
            self.assertEqual((0, ""), (ended.returncode, ended.stderr), command)
            shown = " ".join(ended.stdout.split())
            self.assertIn(f"Usage: netdemo {command}".strip(), shown)
            self.assertRegex(shown, rf"Example: .*netdemo {command}")

    def test_version_is_that_of_netdemo(self) -> None:
        for arguments in (["--version"], ["tour", "--version"]):
            ended = self.execute(*arguments)
            self.assertEqual((0, ""), (ended.returncode, ended.stderr))
            self.assertEqual(f"netdemo {version('netdemo')}\n", ended.stdout)

    def test_help_that_nobody_reads_ends_quietly(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb") as unread:
            ended = subprocess.run(
                [PROGRAMS / "netdemo", "tour", "--help"],
                stdout=unread,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
            )
        self.assertEqual((1, b""), (ended.returncode, ended.stderr))

    def test_help_that_cannot_be_written_is_one_line(self) -> None:
        with open("/dev/full", "wb") as full:
            ended = subprocess.run(
                [PROGRAMS / "netdemo", "tour", "--help"],
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
            )
        said = b"netdemo: cannot write standard output: No space left on device\n"
        self.assertEqual((1, said), (ended.returncode, ended.stderr))

    def test_unknown_option_of_each_command_is_refused(self) -> None:
        for command in VERBS:
            text = self.refusal(command, "--no-such-option")
            self.assertEqual("netdemo: option --no-such-option not recognized\n", text)

    def test_no_command_is_refused(self) -> None:
        self.assertIn("netdemo: no command: expected ", self.refusal())

    def test_unknown_command_is_refused(self) -> None:
        self.assertEqual("netdemo: Unknown command: dance\n", self.refusal("dance"))

    def test_unknown_option_is_refused(self) -> None:
        self.assertEqual("netdemo: option --color not recognized\n", self.refusal("--color"))

    def test_no_destination_is_refused(self) -> None:
        self.assertIn("netdemo: ", self.refusal("send"))

    def test_malformed_destination_is_refused(self) -> None:
        text = self.refusal("send", "hello", "body")
        self.assertIn("netdemo: bad destination 'hello': expected /queue/NAME, ", text)

    def test_malformed_number_is_refused(self) -> None:
        text = self.refusal("receive", "/queue/x", "--count", "0")
        self.assertIn("netdemo: bad --count '0': expected a whole number", text)
        text = self.refusal("receive", "/queue/x", "--count", "9" * 5000)
        self.assertIn("9': expected a whole number", text)
        text = self.refusal("receive", "/queue/x", "--prefetch=65536")
        self.assertEqual(
            "netdemo: bad --prefetch '65536': expected a whole number from 1 to 65535\n", text
        )

    def test_malformed_broker_url_is_refused(self) -> None:
        text = self.refusal("send", "/queue/x", "body", broker=BAD_URL)
        self.assertIn("netdemo send: bad broker URL 'amqp://***@mq.example': ", text)

    def test_malformed_broker_url_of_a_tour_is_refused(self) -> None:
        text = self.refusal("tour", f"--broker={BAD_URL}")
        self.assertIn("netdemo: bad broker URL 'amqp://***@mq.example': ", text)

    def test_broker_that_is_not_there_is_refused(self) -> None:
        (port,) = free_ports(1)
        text = self.refusal("receive", "/queue/x", broker=f"amqp://us3r:p4ssw0rd@127.0.0.1:{port}/")
        self.assertIn(f"netdemo receive: amqp://127.0.0.1:{port}/: ", text)

    def test_refusal_that_cannot_be_told_has_its_status_all_the_same(self) -> None:
        (port,) = free_ports(1)
        for arguments in ("dance", f"echo --connect {port} hello"):
            for redirection in ("2>/dev/full", "2>&-"):
                command = f"{PROGRAMS}/netdemo {arguments} {redirection}"
                ended = subprocess.run(
                    ["sh", "-c", command], cwd=self.cwd, stdin=subprocess.DEVNULL, timeout=PATIENCE
                )
                self.assertEqual(1, ended.returncode)
