"""One turn of a peer at a broker: what it works on, measured from begin to end, told as JSON."""

from __future__ import annotations

import json
import resource
import time
from math import ceil
from typing import Final

QUEUE: Final = "benchmark"
"""The queue of the benchmark, durable and there when a peer starts."""
IN_FLIGHT: Final = 1000
"""Messages that a publisher has unconfirmed."""
PREFETCH: Final = 500
"""Messages that a consumer holds unacknowledged."""
TRANSIENT: Final = 1
PERSISTENT: Final = 2
KILOBYTE: Final = bytes(1000)
"""The body of the messages of which a queue has many."""


def url(port: int) -> str:
    """Return that of the broker on `port`."""
    return f"amqp://guest:guest@127.0.0.1:{port}/"


def bodies(count: int) -> list[bytes]:
    """Return what is published, 100 bytes each; none is like another."""
    return [b"%0100d" % number for number in range(count)]


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, by the nearest rank."""
    ranked = sorted(seconds)
    return {f"p{each}": ranked[ceil(len(ranked) * each / 100) - 1] for each in (50, 99)}


class Turn:
    """The time from here to `end`, and the processor time of this process and its children."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._used = _processor_time()

    def end(self, count: int, **more: float) -> None:
        """Tell that `count` came to a good end, and `more`."""
        used = _processor_time() - self._used
        seconds = time.perf_counter() - self._started
        print(json.dumps({"count": count, "seconds": seconds, "processor": used, **more}))


class Order:
    """Looks whether what comes is what was published: each once, and in order."""

    def __init__(self, count: int) -> None:
        self._expected = bodies(count)
        self.count = 0

    @property
    def complete(self) -> bool:
        """Whether all has come."""
        return self.count == len(self._expected)

    def came(self, body: bytes) -> None:
        """Count `body` in.

        :raises ValueError: when it is not the next.
        """
        if self.complete or body != self._expected[self.count]:
            raise ValueError(f"message {self.count} is {body!r}")
        self.count += 1


def _processor_time() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime
