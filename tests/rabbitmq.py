"""A real RabbitMQ node of the tests' own, on free loopback ports and in a temporary folder.

The node is started when the first test asks for it and stopped when the test run ends.
"""

from __future__ import annotations

import atexit
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import pytest

from tests.processes import skip_or_fail
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
"""Where the package keeps the plain programs; those on the PATH change user and folder first."""

START_TIMEOUT = 120.0
"""Seconds until a node that does not come up, or does not answer, is an error."""

EMBEDDED_PORT = 5672
"""Where the bridge's own broker listens, which is not to be chosen."""

COOKIE = secrets.token_hex()
"""By which the nodes of this test run know each other, and ``rabbitmqctl`` them."""


class RabbitMQNode:
    """One node. `start` and `kill` may be called again and again; its data stay.

    Its data are in a new folder below `parent`, or below the system's for temporary files.
    `before_exec` is called in each process of it, between fork and exec. It can form a cluster
    with the node that it is `beside`.
    """

    plugins = ""
    """Erlang's names of the plugins that are enabled, with commas between them."""

    def __init__(
        self,
        parent: Path | None = None,
        before_exec: Callable[[], None] | None = None,
        beside: RabbitMQNode | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="netdemo-rabbitmq-", dir=parent))
        self.port, distribution, names = free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.name = f"netdemo-{self.port}@localhost"
        self._beside = beside
        self._names_port: int = beside._names_port if beside else names
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(COOKIE)
        cookie.chmod(0o400)  # else Erlang refuses it
        (self.folder / "enabled_plugins").write_text(f"[{self.plugins}].\n")
        (self.folder / "rabbitmq.conf").touch()
        self._environment = {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none"
            ),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._before_exec = before_exec
        self._names: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the node if it does not run; return when it accepts connections."""
        if self._names is None and self._beside is None:
            # A child of ours, lest the node leaves a daemon behind.
            self._names = subprocess.Popen(
                ["epmd"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=self._before_exec,
            )
            self._wait_until(self._knows_names, self._names)
        if self._server is None:
            with (self.folder / "output").open("ab") as output:
                self._server = subprocess.Popen(
                    [PROGRAMS / "rabbitmq-server"],
                    env=self._environment,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=self._before_exec,
                )
        self._wait_until(self._accepts, self._server)

    def processor_time(self) -> float:
        """Return the seconds of processor time that the node has used."""
        ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in self._processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str) -> int:
        """Return `field` of ``/proc/PID/status`` in bytes, over all its processes."""
        total = 0
        for folder, _ in self._processes():
            with suppress(OSError):  # it has ended meanwhile
                for line in (folder / "status").read_text().splitlines():
                    if line.startswith(f"{field}:"):
                        total += int(line.split()[1]) * 1024
        return total

    def _processes(self) -> Iterator[tuple[Path, list[str]]]:
        """Yield the folder of each process, and what it has in its ``stat`` after the name."""
        assert self._server is not None
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._server.pid:  # its session
                    yield path.parent, fields

    def kill(self) -> None:
        """Kill the node with SIGKILL, as a crash would; return when it is gone."""
        if self._server is not None:
            # A session of its own: the launching shell, the virtual machine and its ports.
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def freeze(self) -> None:
        """Stop the node without its connections noticing, until `thaw`."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the node go on."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGCONT)

    def sync(self) -> None:
        """Have the node write to its disk what was declared, before it is killed."""
        self.control("eval", "mnesia:dump_log().")

    def control(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` on the node and return what it prints."""
        return subprocess.run(
            [PROGRAMS / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment,
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
        ).stdout

    def log(self) -> str:
        """Return what the node has logged."""
        return "".join(path.read_text() for path in sorted((self.folder / "log").glob("*.log")))

    def remove(self) -> None:
        """Stop everything and remove the folder."""
        self.kill()
        if self._names is not None:
            self._names.kill()
            self._names.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_until(self, condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                output = self.folder / "output"
                said = output.read_text() if output.exists() else ""
                raise RuntimeError(f"RabbitMQ did not start:\n{said}")
            time.sleep(0.1)

    def _knows_names(self) -> bool:
        """Tell whether epmd listens; until then the node would start one that outlives it."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._names_port), 1):
            return True
        return False

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as peer:
            # Rejecting our protocol header is the first thing that a whole broker can do.
            peer.settimeout(5)
            peer.sendall(b"AMQP\x00\x00\x00\x00")
            return peer.recv(8) == b"AMQP\x00\x00\x09\x01"
        return False


def free_ports(count: int) -> list[int]:
    """Return so many TCP ports that are free on 127.0.0.1 now.

    They are below those that the system gives to outgoing connections, lest one of these takes
    the port of a node while it is down.
    """
    with ExitStack() as stack:
        ports: set[int] = set()
        while len(ports) < count:
            port = random.randrange(10_000, 32_768)
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.add(port)
        return list(ports)


def is_free(port: int) -> bool:
    """Tell whether a broker could listen on a port of 127.0.0.1."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@cache
def the_node() -> RabbitMQNode:
    """Return the node of this test run, running."""
    node = RabbitMQNode()
    atexit.register(node.remove)
    node.start()
    return node


@pytest.mark.rabbitmq
class RabbitMQTestCase(TidyTestCase):
    """A test that needs a real RabbitMQ; `node` is running when it begins."""

    timeout = 120
    node: RabbitMQNode
    the_node: Callable[[], RabbitMQNode] = staticmethod(the_node)

    def setUp(self) -> None:
        if not (PROGRAMS / "rabbitmq-server").exists():
            skip_or_fail(f"no RabbitMQ: {PROGRAMS} is empty; install the package rabbitmq-server")
        # As Ctrl-C does: else the nodes would outlive a test run that is ended so.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.node = self.the_node()
        self.node.start()

    def delete_queues(self, *queues: str) -> None:
        """Delete queues with what is in them."""
        with pika.BlockingConnection(pika.URLParameters(self.node.url)) as connection:
            channel = connection.channel()
            for queue in queues:
                channel.queue_delete(queue)
