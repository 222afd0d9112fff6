"""A real bridge with one push route and a spool, and a client that counts what it is answered."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.processes import PROGRAMS, Process
from tests.rabbitmq import free_ports

if TYPE_CHECKING:
    from pathlib import Path

QUEUE = "spooled"


class SpoolProcess:
    """A bridge that pushes lines to a queue of the broker at `url`, with a spool in `folder`."""

    def __init__(self, folder: Path, url: str, *options: str, spool: Path | None = None) -> None:
        (self.port,) = free_ports(1)
        self.spool = spool or folder / "spool"
        self.lines: list[str] = []
        self._folder = folder
        self._command: tuple[str | Path, ...] = (
            PROGRAMS / "twistd",
            *("-n", "--pidfile=", "amqp-bridge", f"--broker={url}"),
            f"--push=/queue/{QUEUE}@tcp:{self.port}:interface=127.0.0.1",
            f"--spool={self.spool}",
            *options,
        )
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The id of its process, which must run."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; return when it listens."""
        self._process = Process(*self._command, cwd=self._folder)
        self._process.wait_for(f"starting on {self.port}")

    def stop(self) -> int:
        """Stop it with SIGTERM; return its exit status."""
        assert self._process is not None
        status = self._process.terminate()
        self.kill()
        return status

    def wait_for(self, text: str) -> str:
        """Return the next line of its output with `text` in it."""
        assert self._process is not None
        return self._process.wait_for(text)

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.remove()
            self.lines += process.lines

    def look(self, *arguments: str) -> str:
        """Return what ``netdemo spool`` prints of it."""
        action, *rest = arguments
        process = Process(
            PROGRAMS / "netdemo", "spool", action, self.spool, *rest, cwd=self._folder
        )
        status = process.wait()
        process.remove()
        assert status == 0, process.lines
        return "".join(process.lines)

    def push(
        self, numbers: range, window: int = 2000, width: int = 1
    ) -> tuple[list[int], list[bytes]]:
        """Send lines; return the numbers that were answered with OK, and the other answers.

        It ends when all are answered, one with an error, or the connection is lost.
        """
        accepted: list[int] = []
        others: list[bytes] = []
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            sent = answered = 0
            rest = b""
            with suppress(ConnectionError):
                while answered < len(numbers) and not others:
                    batch = numbers[sent : min(answered + window, sent + 500)]
                    if batch:
                        connection.sendall(
                            b"".join(b"%0*d\n" % (width, number) for number in batch)
                        )
                        sent += len(batch)
                    data = connection.recv(65536)
                    if not data:
                        break
                    *answers, rest = (rest + data).split(b"\n")
                    for answer in answers:
                        if answer == b"OK":
                            accepted.append(numbers[answered])
                        else:
                            others.append(answer)
                        answered += 1
        return accepted, others
