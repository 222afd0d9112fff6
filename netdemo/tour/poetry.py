"""Poetry: several servers at once, so that the slowest one tells how long it takes."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, DeferredList

from netdemo.connecting import connection_reason
from netdemo.errors import NotHeld
from netdemo.poetry import get_poem, poetry_service
from netdemo.tour.checking import expect
from netdemo.tour.loopback import ENDPOINT, HOST, ports, running, way_to

if TYPE_CHECKING:
    from netdemo.tour.site import Site

POEM: Final = b"""\
To see a World in a Grain of Sand
And a Heaven in a Wild Flower,
Hold Infinity in the palm of your hand
And Eternity in an hour.
"""
RATES: Final = {"a quick server": 400, "a slow one": 200, "the slowest": 100}
"""Bytes of the poem in a second."""


async def show(site: Site) -> str:
    """Fetch a poem from three servers, and from one that is down, all at the same time."""
    path = site.folder / "poem"
    path.write_bytes(POEM)
    async with AsyncExitStack() as stack:
        servers = {}
        for name, rate in RATES.items():
            service = poetry_service(path, [ENDPOINT], site.reactor, rate=rate)
            (servers[name],) = ports(await stack.enter_async_context(running(service)))
        down = stack.enter_context(socket.socket())
        down.bind((HOST, 0))  # the port is taken, and nobody listens there
        servers["the one that is down"] = down.getsockname()[1]
        began = site.reactor.seconds()
        fetching = [Deferred.fromCoroutine(fetch(*server, site)) for server in servers.items()]
        results = await DeferredList(fetching, consumeErrors=True)
        took = site.reactor.seconds() - began
    for name, (fetched, _) in zip(servers, results, strict=True):
        expect(f"a whole poem from {name}", fetched, name in RATES)
    times = [result for fetched, result in results if fetched]
    check_together(took, times)
    return f"3 poems in {took:.1f} s, not the {sum(times):.1f} s of their sum; 1 server is down"


async def fetch(name: str, port: int, site: Site) -> float:
    """Fetch a poem; return the seconds that it took."""
    began = site.reactor.seconds()
    try:
        poem = await get_poem(way_to(port, site.reactor))
    except Exception as error:
        site.tell(f"{name}: {connection_reason(error)}")
        raise
    took: float = site.reactor.seconds() - began
    expect(f"the poem of {name}", poem, POEM)
    site.tell(f"{name}: the whole poem in {took:.1f} s")
    return took


def check_together(took: float, times: list[float]) -> None:
    """Compare what all ``took`` together with the ``times`` of each, in seconds.

    :raises NotHeld: when it is nearer to their sum than to the longest of them.
    """
    if took - max(times) > sum(times) - took:
        raise NotHeld(f"all took {took:.1f} s: expected {max(times):.1f} s, as the slowest alone")
