"""Poetry: several servers at once, so that the slowest one tells how long it takes."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError

from netdemo.connecting import connection_reason
from netdemo.errors import NotHeld
from netdemo.poetry import get_poem, poetry_service
from netdemo.poetry.sending import PIECES
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
RATES: Final = {"a quick server": 150, "a slow one": 120, "the slowest": 100}
"""Bytes of the poem in a second, at most."""

ONE_BY_ONE: Final = sum(len(POEM) / rate - 1 / PIECES for rate in RATES.values())
"""Seconds that the servers need at least if one is read after another: each sends a piece at once,
and then the others at its rate."""

DOWN: Final = "the one that is down"


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
        servers[DOWN] = down.getsockname()[1]
        began = site.reactor.seconds()
        fetching = [Deferred.fromCoroutine(fetch(*server, site)) for server in servers.items()]
        results = await gatherResults(fetching, consumeErrors=True)
        took = site.reactor.seconds() - began
    poems = [name for name, fetched in zip(servers, results, strict=True) if fetched]
    expect("servers whose poem is here", poems, list(RATES))
    if took >= ONE_BY_ONE:
        raise NotHeld(
            f"all took {took:.1f} s: expected less than the {ONE_BY_ONE:.1f} s one by one"
        )
    return f"3 poems in {took:.1f} s, not {ONE_BY_ONE:.1f} s as one by one; 1 server is down"


async def fetch(name: str, port: int, site: Site) -> bool:
    """Fetch a poem; return whether the server is there."""
    began = site.reactor.seconds()
    try:
        poem = await get_poem(way_to(port, site.reactor))
    except ConnectError as error:
        site.tell(f"{name}: {connection_reason(error)}")
        return False
    expect(f"the poem of {name}", poem, POEM)
    site.tell(f"{name}: the whole poem in {site.reactor.seconds() - began:.1f} s")
    return True
