"""RPC: ask a server, and wait for its reply, which is known by its correlation id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, gatherResults

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
        n = request.message.body
        if n == FIRST:
            await overtaken
        return b"%d" % fibonacci(int(n))

    async with site.client() as client:
        await client.declare(Topology(queues=(queue,)))
        RPCServer(client, queue.name, serve, prefetch=2)
        caller = RPCClient(client)
        first, second = (caller.call(queue.name, n) for n in (FIRST, SECOND))
        second.addCallback(passing_on, overtaken)
        replies = await gatherResults([first, second], consumeErrors=True)
    expect("the replies", replies, [b"832040", b"55"])
    site.tell("fib(10) = 55 was asked second and answered first")
    return "fib(30) = 832040, and the call that overtook it has its own reply"


def passing_on(reply: bytes, overtaken: Deferred[None]) -> bytes:
    """Let the other call be answered, now that this one is."""
    overtaken.callback(None)
    return reply


def fibonacci(n: int) -> int:
    """Return the ``n``-th Fibonacci number: 0, 1, 1, 2, 3, 5 ..."""
    this, following = 0, 1
    for _ in range(n):
        this, following = following, this + following
    return this
