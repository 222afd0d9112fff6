"""Our broker as ``twistd amqp-broker`` in a process of its own, killed and started as wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder
from tests.processes import PROGRAMS, Process
from tests.rabbitmq import free_ports

if TYPE_CHECKING:
    import signal
    from pathlib import Path

MISTAKE = "the broker made a mistake"
"""What it logs when the fault is its own."""


class BrokerProcess:
    """A broker on a free port of the loopback, with its files in `folder`.

    It has a store there if `stored`. It may be started and killed again and again; `lines` is what
    it has written all the time.
    """

    def __init__(self, folder: Path, *options: str, stored: bool = False) -> None:
        (self.port,) = free_ports(1)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.lines: list[str] = []
        self._folder = folder
        self._options = (*options, f"--store={folder / 'store'}") if stored else options
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The id of its process, which must run."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; return when it listens."""
        self._process = Process(
            *(PROGRAMS / "twistd", "-n", "--pidfile=", "amqp-broker"),
            *(f"--listen=tcp:{self.port}:interface=127.0.0.1", *self._options),
            cwd=self._folder,
        )
        self._process.wait_for(f"starting on {self.port}")

    def stop(self) -> int:
        """Stop it with SIGTERM; return its exit status."""
        assert self._process is not None
        status = self._process.terminate()
        self.kill()
        return status

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.remove()
            self.lines += process.lines

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.signal(number)


class BrokerProcessTestCase(SynchronousTestCase):
    """A test with a broker of its own, which must make no mistake."""

    options: tuple[str, ...] = ()
    stored = False

    def setUp(self) -> None:
        self.broker = BrokerProcess(temporary_folder(self), *self.options, stored=self.stored)
        self.addCleanup(self._end_broker)
        self.broker.start()

    def _end_broker(self) -> None:
        self.broker.kill()
        mistakes = [line for line in self.broker.lines if MISTAKE in line or "Traceback" in line]
        self.assertEqual([], mistakes, "".join(self.broker.lines[-50:]))
