"""Files: 50 downloads at a time of a file of 2 KB, each from connect to the server's close.

The programs beside ours and nginx open no file: they send the bytes from memory.

Every server here closes first, so that it is the server's side that is left in TIME_WAIT, and the
load has its ports back at once. Nothing is reset.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final

from benchmarks.commands import available, nginx_of, ours, script
from benchmarks.comparison import Work, at_least, kept
from benchmarks.load import run_load

if TYPE_CHECKING:
    from pathlib import Path

CONNECTIONS: Final = 50
SIZE: Final = 2048
WARM_UP: Final = 0.3


def work(seconds: float, folder: Path) -> Work:
    """Compare senders of a small file; each round loads each of them for `seconds`."""
    poem = folder / "poem.txt"
    poem.write_text((string.ascii_letters * SIZE)[:SIZE])
    poetry = ours("poetry", "--file", str(poem))
    stock = script("stock Twisted", "stock_file.py", str(poem))
    asyncio = script("asyncio", "asyncio_file.py", str(poem))
    more = available({"nginx": lambda: nginx_of(poem)})
    return Work(
        name="files",
        title=f"files: {SIZE} B each, {CONNECTIONS} at a time",
        unit="files/s",
        reference=stock.name,
        peers=[poetry, stock, asyncio, *more],
        turns=kept(
            lambda server: run_load(server, "files", CONNECTIONS, SIZE, WARM_UP),
            lambda server: run_load(server, "files", CONNECTIONS, SIZE, seconds),
        ),
        goals=[at_least(poetry.name, stock.name)],
        cost_unit="µs each",
        cost_scale=1e6,
    )
