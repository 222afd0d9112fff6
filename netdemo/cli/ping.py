"""Round trips to an echo server, one after another, and what they tell together."""

from __future__ import annotations

import math
import os
import statistics
import time
from array import array
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from netdemo.cli.stdio import StandardOutput
    from netdemo.echo import EchoClient

SIZE: Final = 64
"""Bytes of a message."""

MAX_PINGS: Final = 1_000_000
"""Each round trip is kept for the statistics: 8 bytes, and at the end 40 more."""


async def ping(
    client: EchoClient,
    address: str,
    count: int,
    output: StandardOutput,
    seconds: Callable[[], float] = time.perf_counter,
) -> None:
    """Send ``count`` numbered messages, each when the former is back, and print a line for each.

    Statistics come last, also when it fails, with `EchoError`, or is cancelled: then only what is
    taken at once is printed. ``seconds`` is the clock that measures.
    """
    took = array("d")
    sent = 0
    interrupted = False
    try:
        for number in range(1, count + 1):
            began = seconds()
            client.write(message(number))
            sent = number
            await client.when_back()
            took.append(seconds() - began)
            time_taken = f"{1000 * took[-1]:.3f} ms"
            line = f"{SIZE} bytes from {address}: seq={number} time={time_taken}\n"
            output.write(os.fsencode(line))
            await output.flush()
    except CancelledError:
        interrupted = True
        raise
    finally:
        report = f"--- {address} echo statistics ---\n{summary(sent, took)}"
        output.write(os.fsencode(report))
        if interrupted:
            output.doWrite()  # without waiting, perhaps for ever, until it is read
        else:
            await output.flush()


def message(number: int) -> bytes:
    """Return message ``number``: its number, filled up to one line of 64 bytes."""
    return b"%d " % number + b"." * (SIZE - len(b"%d \n" % number)) + b"\n"


def summary(sent: int, took: array[float]) -> str:
    """Say how many came back, and how long, in seconds, their round trips ``took``.

    p99 is the nearest rank: the shortest time that 99 of 100 did not exceed. So it is one of the
    measured times, and of fewer than 100 it is the longest.
    """
    lines = f"{sent} sent, {len(took)} came back\n"
    if not took:
        return lines
    times = sorted(took)
    p99 = times[math.ceil(len(times) * 99 / 100) - 1]
    figures = (times[0], statistics.median(times), p99, times[-1])
    shown = "/".join(f"{1000 * each:.3f}" for each in figures)
    return f"{lines}round trip min/median/p99/max = {shown} ms\n"
