"""RPC: ask a server, and wait for its reply, which is known by its correlation id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from netdemo.amqp import Queue, RPCClient, RPCServer, Topology
from netdemo.tour.checking import expect
from netdemo.tour.site import unique

if TYPE_CHECKING:
    from netdemo.amqp import Delivery
    from netdemo.tour.site import Site

FIRST: Final = b"30"
SECOND: Final = b"10"


async def show(site: Site) -> str:
    """Make two calls at once; the second is answered while the first still waits."""
    queue = Queue(unique("rpc"), durable=False, exclusive=True)
    overtaken: Deferred[None] = Deferred()

    async def serve(request: Delivery) -> bytes:
        if request.message.body == FIRST:
            await overtaken
        return b"%d" % fibonacci(int(request.message.body))

    async with site.client() as client:
        await client.declare(Topology(queues=(queue,)))
        RPCServer(client, queue.name, serve, prefetch=2)
        caller = RPCClient(client)
        first, second = (caller.call(queue.name, n) for n in (FIRST, SECOND))
        expect("fib(10)", await second, b"55")
        site.tell("fib(10) = 55, asked second and answered first")
        overtaken.callback(None)
        expect("fib(30)", await first, b"832040")
    return "fib(30) = 832040, and the call that overtook it has its own reply"


def fibonacci(n: int) -> int:
    """Return the ``n``-th Fibonacci number: 0, 1, 1, 2, 3, 5 ..."""
    this, following = 0, 1
    for _ in range(n):
        this, following = following, this + following
    return this
