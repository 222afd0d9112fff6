"""The eager reactor: 50 downloads at a time of a file of 2 KB, each from connect to close."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from benchmarks.commands import available, eager, nginx_of, ours, script
from benchmarks.comparison import Work, at_least, kept
from benchmarks.files import CONNECTIONS, SIZE, WARM_UP
from benchmarks.load import run_load

if TYPE_CHECKING:
    from pathlib import Path


def work(seconds: float, folder: Path) -> Work:
    """Compare senders of a small file on reactors, and nginx."""
    poem = folder / "poem.txt"
    poem.write_text((string.ascii_letters * SIZE)[:SIZE])
    poetry = ours("poetry", "--file", str(poem), reactor="eager")
    more = available({"nginx": lambda: nginx_of(poem)})
    return Work(
        name="reactor-files",
        title=f"files on reactors: {SIZE} B each, {CONNECTIONS} at a time",
        unit="files/s",
        reference="nginx",
        peers=[
            *(poetry, ours("poetry", "--file", str(poem))),
            eager("from memory, eager reactor", "stock_file.py", str(poem)),
            script("from memory, stock reactor", "stock_file.py", str(poem)),
            *more,
        ],
        turns=kept(
            lambda server: run_load(server, "files", CONNECTIONS, SIZE, WARM_UP),
            lambda server: run_load(server, "files", CONNECTIONS, SIZE, seconds),
        ),
        goals=[at_least(poetry.name, "nginx")],
        cost_unit="µs each",
        cost_scale=1e6,
    )
