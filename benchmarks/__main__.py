"""``python -m benchmarks [WORK]... [--rounds N] [--seconds S]``"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Final

from rich.console import Console

import benchmarks
from benchmarks import bulk, echo, files, idle
from benchmarks.comparison import compare
from benchmarks.load import LoadError
from benchmarks.provision import MissingError
from benchmarks.servers import ServerError, allow_open_files
from benchmarks.tables import goals_of, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKS: Final = {"bulk": bulk.work, "files": files.work, "echo": echo.work, "idle": idle.work}
WIDTH: Final = 140


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end, files go
    try:
        allow_open_files()
        with tempfile.TemporaryDirectory(prefix="netdemo-benchmarks-") as folder:
            reached = [_report(name, options, Path(folder)) for name in options.work]
            return 0 if all(reached) else 1
    except (MissingError, ServerError, LoadError, TimeoutExpired) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _report(name: str, options: argparse.Namespace, folder: Path) -> bool:
    """Do one work, print its table, and return whether all its goals are reached."""
    own = folder / name
    own.mkdir()
    work = WORKS[name](options.seconds, own)
    rows = compare(work, options.rounds, own)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(table_of(work, rows))
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
    parser.add_argument("--rounds", type=_rounds, default=5, help="rounds of each [5]")
    parser.add_argument(
        "--seconds", type=_seconds, default=2.0, help="of one run of echo and files [2]"
    )
    options = parser.parse_args(arguments)
    options.work = options.work or list(WORKS)
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
    if not 0.1 <= float(text) <= 60:
        raise argparse.ArgumentTypeError(f"expected 0.1 to 60 seconds, not {text!r}")
    return float(text)


if __name__ == "__main__":
    sys.exit(main())
