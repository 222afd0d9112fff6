"""``python -m benchmarks [WORK]... [--rounds N] [--seconds S]``"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Final

from rich.console import Console

import benchmarks
from benchmarks import (
    bridge_fair,
    bridge_idle,
    bridge_latency,
    bridge_pull,
    bridge_push,
    bridge_spool,
    broker_consume,
    broker_depth,
    broker_fanout,
    broker_publish,
    broker_rpc,
    broker_start,
    broker_topic,
    bulk,
    consume,
    echo,
    files,
    idle,
    publish,
    reactor_bridge,
    reactor_broker,
    reactor_echo,
    reactor_files,
    rpc,
)
from benchmarks.comparison import compare
from benchmarks.load import LoadError
from benchmarks.network import enter_own_network
from benchmarks.provision import MissingError, compiled
from benchmarks.servers import ServerError, allow_open_files, waiting_time
from benchmarks.tables import goals_of, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.comparison import Work

WORKS: Final = {
    "bulk": bulk.work,
    "files": files.work,
    "echo": echo.work,
    "idle": idle.work,
    "publish": publish.work,
    "consume": consume.work,
    "rpc": rpc.work,
    "broker-publish": broker_publish.work,
    "broker-consume": broker_consume.work,
    "broker-fanout": broker_fanout.work,
    "broker-topic": broker_topic.work,
    "broker-rpc": broker_rpc.work,
    "broker-start": broker_start.work,
    "broker-depth": broker_depth.work,
    "bridge-push": bridge_push.work,
    "bridge-spool": bridge_spool.work,
    "bridge-latency": bridge_latency.work,
    "bridge-pull": bridge_pull.work,
    "bridge-idle": bridge_idle.work,
    "bridge-fair": bridge_fair.work,
    "reactor-echo": reactor_echo.work,
    "reactor-bulk-echo": reactor_echo.bulk_work,
    "reactor-files": reactor_files.work,
    "reactor-bridge": reactor_bridge.work,
    "reactor-broker": reactor_broker.work,
}
WIDTH: Final = 160
"""Columns of the tables where there is no terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end, files go
    try:
        with tempfile.TemporaryDirectory(prefix="netdemo-benchmarks-") as folder:
            return 0 if _reached_all(options, Path(folder)) else 1
    except (MissingError, ServerError, LoadError, TimeoutExpired) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _reached_all(options: argparse.Namespace, folder: Path) -> bool:
    """Do every work that was asked for, and return whether all goals of all are reached."""
    allow_open_files()
    compiled("load")
    works = []
    for name in options.work:
        (folder / name).mkdir()
        try:
            works.append(WORKS[name](options.seconds, folder / name))
        except MissingError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    try:
        enter_own_network()  # after the peers have been fetched
    except OSError as error:
        print(f"measured on this machine's own loopback: {error.strerror}", file=sys.stderr)
    reached = [_report(work, options.rounds, folder / work.name) for work in works]
    return len(works) == len(options.work) and all(reached)


def _report(work: Work, rounds: int, folder: Path) -> bool:
    """Do one work, print its table, and return whether all its goals are reached."""
    waited, start = waiting_time(), time.monotonic()
    rows = compare(work, rounds, folder)
    contention = (waiting_time() - waited) / (time.monotonic() - start)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(table_of(work, rows, contention))
    goals = goals_of(work, rows)
    for _, line in goals:
        console.print(f"  {line}", markup=False)
    console.print()
    return all(met for met, _ in goals)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "work", nargs="*", type=_work, help=f"{', '.join(WORKS)}; all when none is named"
    )
    parser.add_argument("--rounds", type=_rounds, default=7, help="rounds of each [7]")
    parser.add_argument(
        "--seconds", type=_seconds, default=2.0, help="of one run of echo and files [2]"
    )
    options = parser.parse_args(arguments)
    options.work = list(dict.fromkeys(options.work or WORKS))
    return options


def _work(name: str) -> str:
    if name not in WORKS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(WORKS)}")
    return name


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"expected 0.1 to 60 seconds, not {text!r}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
