"""Servers as child processes: started on a free port, looked into, ended whatever happens."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE: Final = 30.0
"""Seconds for a server to listen, and then to end."""

OPEN_FILES: Final = 12_000
"""What 10,000 idle connections need on either side, with room to spare."""

CORES: Final = sorted(os.sched_getaffinity(0))
"""The first is for every server, the last for the load."""

PRESSURE: Final = Path("/proc/pressure/cpu")

PR_SET_PDEATHSIG: Final = 1
C_LIBRARY: Final = ctypes.CDLL(None)


class ServerError(Exception):
    """A server did not start, or ended by itself."""


@dataclass(frozen=True)
class Peer:
    """One side of a comparison: a name, and the command that serves on a given port."""

    name: str
    command: Callable[[int], list[str]]
    request: str | None = None
    """What a client sends first, where it must ask."""


class Server:
    """A running peer."""

    def __init__(self, peer: Peer, port: int, process: subprocess.Popen[bytes]) -> None:
        self.peer = peer
        self.port = port
        self.process = process

    def processor_time(self) -> float:
        """Return the seconds of processor time that it has used, all threads and processes."""
        ticks = 0
        for pid in self._processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str) -> int:
        """Return `field` of ``/proc/PID/status`` in bytes, over all its processes."""
        total = 0
        for pid in self._processes():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{field}:"):
                    total += int(line.split()[1]) * 1024
        return total

    def _processes(self) -> list[int]:
        """Return it and its children, as nginx has one that does the work."""
        if self.process.poll() is not None:
            raise ServerError(f"{self.peer.name} has ended by itself")
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]


@contextmanager
def running(peer: Peer, folder: Path, core: int = CORES[0]) -> Iterator[Server]:
    """Run `peer` in `folder` while the context lasts; it is ready when that begins."""
    port = free_port()
    with (folder / f"output-{port}").open("w+b") as output:
        process = subprocess.Popen(
            peer.command(port),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: bind_to_us(core),
        )
        try:
            if not _listens(port, process):
                output.seek(0)
                written = output.read().decode(errors="replace").strip()
                raise ServerError(f"{peer.name} does not listen: {written or 'no output'}")
            yield Server(peer, port, process)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End `process`, gently if it lets us, and wait for it."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def bind_to_us(core: int) -> None:
    """Between fork and exec: stay on `core`, and end when the benchmark is killed."""
    os.sched_setaffinity(0, {core})
    C_LIBRARY.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def allow_open_files() -> None:
    """Raise the limit of open files, which the servers and the load inherit.

    :raises ServerError: when this user may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= OPEN_FILES:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, max(hard, OPEN_FILES)))
    except (ValueError, OSError):
        raise ServerError(
            f"the hard limit of open files is {hard}: expected {OPEN_FILES} (ulimit -Hn)"
        ) from None


def waiting_time() -> float:
    """Return the seconds, since boot, in which some program here waited for a processor.

    Server and load have one each: what waits beside them is what disturbs. NaN without
    ``CONFIG_PSI``.
    """
    try:
        line = PRESSURE.read_text().splitlines()[0]
    except OSError:
        return math.nan
    return int(line.rpartition("total=")[2]) / 1e6


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return True
    return False
