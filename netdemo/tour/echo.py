"""Echo: a server that sends back what it receives, and a client that sees whether all is back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netdemo.echo import echo, echo_service
from netdemo.tour.checking import expect
from netdemo.tour.loopback import ENDPOINT, ports, running, way_to

if TYPE_CHECKING:
    from netdemo.tour.site import Site

MESSAGE: Final = b"Hello, echo! " * 5000


async def show(site: Site) -> str:
    """Have a message back that TCP delivers in many pieces."""
    async with running(echo_service([ENDPOINT], site.reactor)) as server:
        (port,) = ports(server)
        site.tell(f"the server listens on port {port}")
        came_back = await echo(way_to(port, site.reactor), MESSAGE, site.reactor)
    expect("bytes that came back", len(came_back), len(MESSAGE))
    expect("the last of them", came_back[-20:], MESSAGE[-20:])
    return f"{len(came_back)} bytes came back unchanged"
