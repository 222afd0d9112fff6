"""RPC: ask a server for a Fibonacci number, and wait for its reply.

    python examples/rpc_fibonacci.py server
    python examples/rpc_fibonacci.py call 30

Start a second server, and the two share the calls.
"""

import re
import sys

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from netdemo.amqp import AMQPClient, Delivery, Queue, RPCClient, RPCServer, Topology, run
from netdemo.errors import RemoteError


async def call(client: AMQPClient, n: str) -> None:
    """Print the number that the server returns; what it refuses is a `RemoteError`."""
    reply = await RPCClient(client).call("rpc_queue", n.encode(), timeout=5.0)
    print(f"fib({n}) = {reply.decode()}")


async def server(client: AMQPClient) -> None:
    """Serve one call after another."""
    await client.declare(Topology(queues=(Queue("rpc_queue"),)))
    RPCServer(client, "rpc_queue", serve, prefetch=1)
    print("waiting for calls; Ctrl-C ends it")
    client.add_status_listener(print)
    await Deferred[None]()  # which never fires


async def serve(request: Delivery) -> bytes:
    """Return the number that `request` asks for; what is raised is told to the caller."""
    n = request.message.body
    if not re.fullmatch(rb"[0-9]|[1-9][0-9]{1,3}|10000", n):
        shown = n[:20].decode(errors="replace")
        raise RemoteError(f"bad n {shown!r}: expected a whole number from 0 to 10000")
    # In a thread: the reactor has heartbeats to send meanwhile.
    return b"%d" % await deferToThread(fibonacci, int(n))


def fibonacci(n: int) -> int:
    """Return the `n`-th Fibonacci number: 0, 1, 1, 2, 3, 5 ..."""
    this, following = 0, 1
    for _ in range(n):
        this, following = following, this + following
    return this


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["call", n]:
            run(call, n)
        case ["server"]:
            run(server)
        case _:
            raise SystemExit("usage: rpc_fibonacci.py call N | server")
