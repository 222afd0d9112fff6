"""``netdemo doctor`` as a real process: on RabbitMQ, on our broker, and on what is neither."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import time
from datetime import timedelta

import pytest
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.message import new_message_id
from netdemo.broker.passwords import hash_password
from netdemo.broker.permissions import Permissions
from netdemo.broker.users_file import user_line
from tests.broker_process import BrokerProcess
from tests.certificates import DAY, Authority
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process, heed_interrupts
from tests.rabbitmq import RabbitMQTestCase, free_ports
from tests.tls_rabbitmq import HOST, TLSRabbitMQTestCase

PASSWORD = "s3cret"
STEPS = ["name", "tcp", "protocol", "login", "vhost", "declare", "publish", "consume", "round"]
DOCTOR = (PROGRAMS / "netdemo", "doctor")


def examine(url: str, **environment: str) -> tuple[int, list[str]]:
    """Return the exit status of the command and its lines; nothing else is said."""
    done = subprocess.run(
        [*DOCTOR, url],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stderr == "", done.stderr
    assert PASSWORD not in done.stdout, done.stdout
    assert "\x1b" not in done.stdout, done.stdout
    return done.returncode, done.stdout.splitlines()


def steps(lines: list[str]) -> list[str]:
    """Return the steps of which lines tell."""
    return [line.split()[1] for line in lines if not line.startswith(" ")]


def failure(url: str) -> tuple[str, str, str]:
    """Return the step that fails, as the last of all, why, and what is to do."""
    status, (*held, failed, todo) = examine(url)
    assert status == 1, failed
    assert all(line.startswith(("ok ", "warn ")) for line in held if line[0] != " "), held
    found = re.fullmatch(r"FAIL (\S+) +(.+)", failed)
    assert found is not None, failed
    assert todo.startswith("     to do      "), todo
    return found[1], found[2], todo[16:]


@pytest.mark.rabbitmq
class RabbitMQTests(RabbitMQTestCase):
    """A real RabbitMQ."""

    def setUp(self) -> None:
        super().setUp()
        self.user = f"user {new_message_id()}"
        self.node.control("add_user", self.user, PASSWORD)
        self.addCleanup(self.node.control, "delete_user", self.user)

    def url(self, vhost: str = "%2F", user: str = "", password: str = PASSWORD) -> str:
        """Return the URL for the user."""
        user = (user or self.user).replace(" ", "%20")
        return f"amqp://{user}:{password}@127.0.0.1:{self.node.port}/{vhost}"

    def run_suggested(self, todo: str) -> None:
        """Run the command of ``rabbitmqctl`` in `todo`."""
        found = re.search(r"rabbitmqctl (set_permissions -p .+ '\.\*' '\.\*' '\.\*')", todo)
        assert found is not None, todo
        self.node.control(*shlex.split(found[1]))

    def test_all_steps_hold(self) -> None:
        status, lines = examine(self.node.url)
        self.assertEqual((0, STEPS), (status, steps(lines)), lines)
        self.assertTrue(all(line.startswith("ok   ") for line in lines), lines)
        self.assertRegex(lines[1], rf"connected to 127.0.0.1:{self.node.port} in [0-9.]+ ms$")
        self.assertRegex(lines[2], r"AMQP 0-9-1, RabbitMQ [0-9.]+$")
        self.assertRegex(lines[-1], r"round trip [0-9.]+ ms ")
        queues = self.node.control("list_queues", "name", "--no-table-headers")
        self.assertNotIn("netdemo-doctor", queues)

    def test_wrong_password_is_told_in_the_brokers_words(self) -> None:
        step, why, todo = failure(self.url(password="wrong"))
        self.assertEqual("login", step)
        self.assertIn(
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN", why
        )
        self.assertIn(f"rabbitmqctl authenticate_user '{self.user}'", todo)

    def test_missing_virtual_host_is_told(self) -> None:
        step, why, todo = failure(self.url("no%20such"))
        self.assertEqual(("vhost", "NOT_ALLOWED - vhost no such not found (530)"), (step, why))
        self.assertIn("rabbitmqctl add_vhost 'no such' ", todo)

    def test_virtual_host_without_access_is_told_and_the_command_grants_it(self) -> None:
        step, why, todo = failure(self.url())
        self.assertEqual("vhost", step)
        self.assertIn("NOT_ALLOWED - access to vhost '/' refused for user", why)
        self.run_suggested(todo)
        self.assertEqual(0, examine(self.url())[0])

    def test_missing_permission_is_named_and_the_command_grants_it(self) -> None:
        for step, patterns, permission in (
            ("declare", ("^$", ".*", ".*"), "configure queue 'netdemo-doctor-"),
            ("publish", (".*", "^$", ".*"), "write to exchange 'amq.default'"),
            ("consume", (".*", ".*", "^$"), "read queue 'netdemo-doctor-"),
        ):
            self.node.control("set_permissions", self.user, *patterns)
            failed, why, todo = failure(self.url())
            self.assertEqual(step, failed)
            self.assertIn("ACCESS_REFUSED - ", why)
            self.assertIn(f"{self.user} lacks the permission to {permission}", todo)
            self.run_suggested(todo)
            self.assertEqual(0, examine(self.url())[0])

    def test_alarm_is_told(self) -> None:
        before = self.node.control("eval", "vm_memory_monitor:get_vm_memory_high_watermark().")
        self.addCleanup(self.node.control, "set_vm_memory_high_watermark", before.strip())
        self.node.control("set_vm_memory_high_watermark", "0.00000001")
        deadline = time.monotonic() + PATIENCE
        while "memory" not in self.node.control("eval", "rabbit_alarm:get_alarms()."):
            self.assertLess(time.monotonic(), deadline)
        step, why, todo = failure(self.node.url)
        self.assertEqual(("publish", "low on memory"), (step, why))
        self.assertIn("an alarm stops all who publish", todo)


@pytest.mark.rabbitmq
class TLSTests(TLSRabbitMQTestCase):
    """A real RabbitMQ that speaks TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self)
        self.client = self.node.authority.issue(
            self.folder / "client.pem", common_name="ann", client=True
        )
        self.addCleanup(self.node.show, HOST)

    def url(self, host: str = HOST, authority: str = "", client: bool = True) -> str:
        """Return the URL of the node."""
        query = f"cacertfile={authority or self.node.authority.path}"
        if client:
            query += f"&certfile={self.client}"
        return f"amqps://guest:guest@{host}:{self.node.tls_port}/?{query}"

    def test_certificate_that_lasts_holds_with_its_end(self) -> None:
        self.node.show(HOST, expires=40 * DAY)
        status, lines = examine(self.url())
        self.assertEqual(0, status, lines)
        self.assertEqual(["name", "tcp", "tls", *STEPS[2:]], steps(lines))
        self.assertRegex(lines[2], r"^ok   tls +TLSv1\.\d, with a certificate for localhost, is")
        self.assertRegex(lines[2], r"; it expires on \d{4}-\d\d-\d\d, in 39 days$")

    def test_certificate_that_ends_soon_is_warned_of(self) -> None:
        self.node.show(HOST, expires=timedelta(hours=1))
        status, lines = examine(self.url())
        self.assertEqual(0, status, lines)
        self.assertRegex(lines[2], r"^warn tls .*; it expires on \d{4}-\d\d-\d\d, in 0 days$")
        self.assertIn("to do      have it renewed", lines[3])

    def test_certificate_of_another_authority_is_told(self) -> None:
        other = Authority(self.folder / "other.pem", "Another")
        step, why, todo = failure(self.url(authority=str(other.path)))
        self.assertEqual("tls", step)
        self.assertRegex(why, "^the certificate's issuer is not trusted: it is ")
        self.assertIn("cacertfile=", todo)

    def test_certificate_that_has_expired_is_told_since_when(self) -> None:
        self.node.show(HOST, expires=timedelta(seconds=-1))
        step, why, todo = failure(self.url())
        self.assertEqual("tls", step)
        self.assertRegex(why, r"^the certificate has expired: .* until [0-9-]+ [0-9:]+ UTC$")
        self.assertIn("renew it", todo)

    def test_certificate_for_another_host_is_told(self) -> None:
        step, why, todo = failure(self.url("127.0.0.1"))
        self.assertEqual("tls", step)
        self.assertIn("the certificate is not for 127.0.0.1: it is for localhost, issued by", why)
        self.assertIn("server_name_indication=", todo)

    def test_missing_certificate_of_ours_is_told(self) -> None:
        _, why, todo = failure(self.url(client=False))
        self.assertEqual("TLS: the other side says: certificate required", why)
        self.assertIn("certfile=", todo)

    def test_tls_on_a_port_without_it_is_told(self) -> None:
        url = self.url().replace(str(self.node.tls_port), str(self.node.port))
        step, why, todo = failure(url)
        self.assertEqual(("tls", "TLS: the other side does not speak it"), (step, why))
        self.assertIn("use amqp://", todo)

    def test_port_of_tls_without_it_is_told(self) -> None:
        step, why, todo = failure(f"amqp://guest:guest@127.0.0.1:{self.node.tls_port}/")
        self.assertEqual("protocol", step)
        self.assertIn("it speaks TLS", why)
        self.assertIn("use amqps://", todo)


class OwnBrokerTests(SynchronousTestCase):
    """Our broker, with users."""

    def setUp(self) -> None:
        folder = temporary_folder(self)
        password = hash_password(PASSWORD.encode(), 1, 1)
        vhosts = {"/": Permissions(), "reading": Permissions(".*", "^$", ".*")}
        (folder / "users").write_text(f"{user_line('ann', password, vhosts)}\n")
        self.broker = BrokerProcess(folder, f"--users={folder / 'users'}")
        self.addCleanup(self.broker.kill)
        self.broker.start()

    def url(self, vhost: str = "", user: str = "ann") -> str:
        """Return the URL for a user."""
        return f"amqp://{user}:{PASSWORD}@localhost:{self.broker.port}/{vhost}"

    def test_all_steps_hold(self) -> None:
        status, lines = examine(self.url())
        self.assertEqual((0, STEPS), (status, steps(lines)), lines)
        self.assertRegex(lines[0], r"^ok   name       localhost is .*127\.0\.0\.1")
        self.assertIn("AMQP 0-9-1, netdemo ", lines[2])

    def test_url_of_the_environment_is_taken(self) -> None:
        done = subprocess.run(
            [*DOCTOR],
            env={**os.environ, "NETDEMO_BROKER": self.url(user="bob")},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("netdemo passwd bob prints a line", done.stdout)

    def test_missing_permission_is_told_with_our_own_command(self) -> None:
        step, why, todo = failure(self.url("reading"))
        self.assertEqual("publish", step)
        self.assertIn("access to exchange 'amq.default' in vhost 'reading' refused", why)
        self.assertIn("netdemo passwd ann --vhost reading", todo)

    def test_terminal_has_colours_unless_it_is_told_otherwise(self) -> None:
        for environment, expected in (
            ({"TERM": "xterm"}, b"\x1b[32mok  \x1b[0m tcp "),
            ({"TERM": "xterm", "NO_COLOR": "1"}, b"\nok   tcp "),
        ):
            self.assertIn(expected, self.on_terminal(environment))

    def on_terminal(self, environment: dict[str, str]) -> bytes:
        """Return what the command writes to a terminal."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        plain = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
        process = subprocess.Popen(
            [*DOCTOR, self.url()],
            env={**plain, **environment},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
        )
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # as the end of a terminal is told
            while piece := os.read(ours, 4096):
                written += piece
        self.assertEqual(0, process.wait(PATIENCE))
        return written


class OtherServerTests(SynchronousTestCase):
    """No broker."""

    def listen(self) -> socket.socket:
        """Return a socket that listens during this test."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.settimeout(PATIENCE)
        return listening

    def url(self, port: int, host: str = "127.0.0.1") -> str:
        """Return a URL."""
        return f"amqp://ann:{PASSWORD}@{host}:{port}/"

    def test_refused_connection_is_told(self) -> None:
        (port,) = free_ports(1)
        step, why, todo = failure(self.url(port))
        self.assertEqual(("tcp", f"127.0.0.1:{port}: Connection refused"), (step, why))
        self.assertIn("nothing listens", todo)

    def test_unknown_host_is_told(self) -> None:
        step, why, todo = failure(self.url(5672, "no-such-host.invalid"))
        self.assertEqual("name", step)
        self.assertRegex(why, "^no-such-host.invalid: .+")
        self.assertIn("getent hosts no-such-host.invalid", todo)

    def test_http_server_is_told(self) -> None:
        process = Process(
            *("python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"),
            cwd=temporary_folder(self),
        )
        self.addCleanup(process.remove)
        line = process.wait_for("Serving HTTP on")
        found = re.search(r"port (\d+)", line)
        assert found is not None
        step, why, todo = failure(self.url(int(found[1])))
        self.assertEqual(("protocol", "it speaks HTTP, not AMQP"), (step, why))
        self.assertIn("as a rule 5672", todo)

    def test_interrupted_it_ends_with_one_line(self) -> None:
        heed_interrupts(self)
        listening = self.listen()
        port = listening.getsockname()[1]
        process = Process(*DOCTOR, self.url(port), cwd=temporary_folder(self))
        self.addCleanup(process.remove)
        connection, _ = listening.accept()
        self.addCleanup(connection.close)
        process.wait_for("ok   tcp")
        process.signal(signal.SIGINT)
        self.assertEqual(1, process.wait())
        self.assertEqual("netdemo doctor: interrupted\n", process.lines[-1])
        self.assertEqual(3, len(process.lines), process.lines)
